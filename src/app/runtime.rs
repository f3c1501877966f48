//! The asynchronous runtime, as the binary needs it.

use std::future::Future;

use tokio::runtime::Builder;

/// Runs one command's conversation on this thread.
#[expect(clippy::expect_used, reason = "without a runtime nothing can be done, nor said in a better way")]
pub fn block_on<F: Future>(work: F) -> F::Output {
    Builder::new_current_thread().enable_all().build().expect("the system gives no event loop").block_on(work)
}

/// What glibc reads before `main`: blocks of this size and more are given back when they are freed. Without it the first
/// large file of a checkout teaches the allocator to keep such blocks for good.
const ALLOCATOR_SETTING: (&str, &str) = ("MALLOC_MMAP_THRESHOLD_", "131072");

/// Begins the process anew with [`ALLOCATOR_SETTING`], once. Where that cannot be done, the daemon only needs more memory.
#[expect(
    clippy::disallowed_methods,
    reason = "the daemon itself is begun anew, with the environment that it has"
)]
pub fn give_memory_back() {
    use std::os::unix::process::CommandExt as _;

    let (name, value) = ALLOCATOR_SETTING;
    if std::env::var_os(name).is_some() {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    let mut arguments = std::env::args_os();
    let called = arguments.next().unwrap_or_else(|| program.clone().into_os_string());
    let failed = std::process::Command::new(&program).arg0(called).args(arguments).env(name, value).exec();
    tracing::debug!(%failed, "the allocator keeps its defaults");
}

/// Runs the daemon.
#[expect(clippy::expect_used, reason = "without a runtime nothing can be done, nor said in a better way")]
pub fn block_on_all_cores<F: Future>(work: F) -> F::Output {
    Builder::new_multi_thread().enable_all().build().expect("the system gives no event loop").block_on(work)
}

/// Drives a client's connection while its one request is answered; it ends with the runtime.
#[expect(clippy::disallowed_methods, reason = "commands have no supervisor: their runtime ends with them")]
pub fn drive<F>(connection: F)
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    drop(tokio::spawn(connection));
}
