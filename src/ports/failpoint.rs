//! Places at which a test ends the daemon as `kill -9` would: between one outside action and the next.
//!
//! `DREY_FAILPOINT=archive.renamed` ends it at that place, `archive.half_written:20` when it comes there for the
//! twentieth time. Builds without debug assertions have no such places and read no variable.
//!
//! A new place is one line where the outside was just spoken to, and its name in [`FAILPOINTS`]: [`failpoint`] where only
//! one thing comes by it, [`failpoint_in`] where several kinds of plans do. After each step of a plan there is a place
//! without that: [`failpoint_after`].

use crate::domain::plan::Step;

/// Every place/// Every place by its name, in the order in which they are come by. `tests/floors.rs` compares it with the source,
/// and `tests/world/faults.rs` goes through all of them.
pub const FAILPOINTS: &[&str] = &[
    // An event and the environment that it asks for are durable; nobody works on it, nobody was answered. Then: somebody
    // works on it.
    "environment.asked",
    "environment.made",
    // A first deployment. What git, the disk and the compose tool were asked for; the images that it is going to use are
    // written down; the engine builds; one is built.
    "deploy.fetched",
    "deploy.checkout_written",
    "deploy.rendered",
    "deploy.images_claimed",
    "build.half_way",
    "deploy.built",
    "deploy.create_network",
    "deploy.create_volume",
    "deploy.write_binds",
    // What `up` is given lies on the disk; some of the containers are there.
    "up.written",
    "compose.half_way",
    "deploy.up",
    // All is ready, and nobody knows; the stack and its routes are stored; the phase and the routes are published.
    "deploy.seen_ready",
    "deploy.remembered",
    "deploy.await_ready",
    "deploy.publish",
    "deploy.images_kept",
    "deploy.checkout_discarded",
    "deploy.settled",
    // A newer commit is wanted, and the event not settled.
    "intent.set",
    "update.fetched",
    "update.checkout_written",
    "update.rendered",
    "update.images_claimed",
    "update.built",
    "update.create_network",
    "update.create_volume",
    "update.write_binds",
    "update.hold",
    "update.save_logs",
    "update.up",
    "update.seen_ready",
    "update.remembered",
    "update.await_ready",
    "update.publish",
    "update.remove_network",
    "update.prune_binds",
    // An image that nobody uses is gone from the engine, and still written down.
    "image.removed",
    "update.images_kept",
    "update.checkout_discarded",
    "update.settled",
    "sleep.withdraw",
    "sleep.stop",
    "sleep.settled",
    "wake.start",
    "wake.seen_ready",
    "wake.remembered",
    "wake.await_ready",
    "wake.publish",
    "wake.images_kept",
    "wake.settled",
    "archive.withdraw",
    "archive.stop",
    "archive.save_logs",
    // The mirror keeps the commit, nothing else is kept yet.
    "archive.commit_kept",
    // A volume is about to be read; each entry of it that is packed; all of it is packed, not yet on the disk.
    "archive.carrier_made",
    "archive.half_written",
    "archive.written",
    // It was read back, and has its temporary name; its own name, and no row; its row.
    "archive.verified",
    "archive.renamed",
    "archive.recorded",
    "archive.archive",
    "archive.remove_container",
    "archive.remove_network",
    "archive.remove_volume",
    "archive.remove_image",
    "archive.remove_files",
    "archive.release",
    "archive.settled",
    "restore.checkout_written",
    "restore.built",
    "restore.create_network",
    "restore.create_volume",
    // A volume is about to be filled; each chunk that the engine takes; all is in, and nobody wrote that down.
    "restore.carrier_made",
    "restore.half_filled",
    "restore.filled",
    "restore.fill",
    "restore.up",
    "restore.remembered",
    "restore.publish",
    "destroy.withdraw",
    "destroy.stop",
    "destroy.remove_container",
    "destroy.remove_network",
    "destroy.remove_volume",
    "destroy.remove_image",
    "destroy.remove_files",
    "destroy.release",
    "destroy.settled",
];

/// Ends the process if a test wants it ended here.
#[inline]
pub fn failpoint(place: &str) {
    #[cfg(debug_assertions)]
    armed::reached(|name| name == place);
    #[cfg(not(debug_assertions))]
    let _: &str = place;
}

/// As [`failpoint`], by the name `<plan>.<what>`: `deploy.fetched`, `update.fetched`.
#[inline]
pub fn failpoint_in(plan: &str, what: &str) {
    #[cfg(debug_assertions)]
    armed::reached(|name| name.split_once('.') == Some((plan, what)));
    #[cfg(not(debug_assertions))]
    let _: (&str, &str) = (plan, what);
}

/// As [`failpoint`], by the name `<plan>.<step>`: `destroy.remove_volume`, `deploy.up`.
#[inline]
pub fn failpoint_after(plan: &str, step: &Step) {
    #[cfg(debug_assertions)]
    armed::reached(|name| name.split_once('.') == Some((plan, step.word())));
    #[cfg(not(debug_assertions))]
    let _: (&str, &Step) = (plan, step);
}

#[cfg(debug_assertions)]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    use rustix::process::{Signal, getpid, kill_process};

    const VARIABLE: &str = "DREY_FAILPOINT";

    static ARMED: OnceLock<Option<Armed>> = OnceLock::new();

    struct Armed {
        place: String,
        /// So many times it is still passed, this one counted.
        left: AtomicU32,
    }

    pub(super) fn reached(is_here: impl Fn(&str) -> bool) {
        let Some(armed) = ARMED.get_or_init(read) else { return };
        if is_here(&armed.place) && armed.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            tracing::warn!(failpoint = armed.place, "ended by a failpoint");
            // Neither a destructor nor an exit handler may run, nor a core be written.
            kill_process(getpid(), Signal::KILL).ok();
            std::process::abort();
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "only a test sets it, only a debug build reads it: no setting of the daemon"
    )]
    fn read() -> Option<Armed> {
        parse(&std::env::var(VARIABLE).ok()?)
    }

    fn parse(text: &str) -> Option<Armed> {
        let (place, count) = text.split_once(':').unwrap_or((text, "1"));
        let left = count.parse().ok().filter(|count| *count > 0)?;
        Some(Armed { place: place.to_owned(), left: AtomicU32::new(left) })
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_place_may_have_a_count() {
            let of = |text| parse(text).map(|armed| (armed.place, armed.left.into_inner()));
            assert_eq!(of("archive.written"), Some(("archive.written".to_owned(), 1)));
            assert_eq!(of("destroy.stop:3"), Some(("destroy.stop".to_owned(), 3)));
            assert_eq!((of("destroy.stop:0"), of("destroy.stop:x")), (None, None));
        }
    }
}
