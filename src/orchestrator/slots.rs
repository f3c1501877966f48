//! So many at once, and how many that is may change.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};

/// Slots that are taken one by one, in the order in which they were asked for.
pub(super) struct Slots {
    free: Semaphore,
    number: Mutex<usize>,
    /// So many that are taken are not to come back.
    surplus: AtomicUsize,
}

/// A slot, until it is dropped.
pub(super) struct Slot<'a> {
    slots: &'a Slots,
    permit: Option<SemaphorePermit<'a>>,
}

impl Slots {
    /// At least one: with none nothing would ever be done.
    pub(super) fn new(number: usize) -> Self {
        let number = number.max(1);
        Self { free: Semaphore::new(number), number: Mutex::new(number), surplus: AtomicUsize::new(0) }
    }

    /// Waits for a slot.
    pub(super) async fn take(&self) -> Slot<'_> {
        // Never closed: there is always a permit in the end.
        Slot { slots: self, permit: self.free.acquire().await.ok() }
    }

    /// From now on so many. Nobody who has one loses it: they become fewer as slots are given back.
    pub(super) fn resize(&self, number: usize) {
        let number = number.max(1);
        let mut before = self.number.lock().unwrap_or_else(PoisonError::into_inner);
        if number > *before {
            for _ in *before..number {
                if !self.swallow() {
                    self.free.add_permits(1);
                }
            }
        } else {
            let less = *before - number;
            let taken = less - self.free.forget_permits(less);
            self.surplus.fetch_add(taken, Ordering::AcqRel);
        }
        *before = number;
    }

    /// Whether one that would come (back) is one too many.
    fn swallow(&self) -> bool {
        self.surplus
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |surplus| surplus.checked_sub(1))
            .is_ok()
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take()
            && self.slots.swallow()
        {
            permit.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn is_full(slots: &Slots) -> bool {
        tokio::time::timeout(Duration::from_millis(5), slots.take()).await.is_err()
    }

    #[tokio::test]
    async fn who_has_a_place_keeps_it_when_they_become_fewer() {
        let slots = Slots::new(3);
        let (one, two) = (slots.take().await, slots.take().await);
        slots.resize(1);
        assert!(is_full(&slots).await);
        drop(one);
        assert!(is_full(&slots).await, "the place was one too many");
        drop(two);
        let one = slots.take().await;
        assert!(is_full(&slots).await);
        slots.resize(2);
        let two = slots.take().await;
        assert!(is_full(&slots).await);
        slots.resize(1);
        slots.resize(2);
        assert!(is_full(&slots).await, "what is taken counts");
        drop((one, two));
        let _both = (slots.take().await, slots.take().await);
        assert!(is_full(&slots).await);
    }

    #[tokio::test]
    async fn there_is_always_one() {
        let slots = Slots::new(0);
        drop(slots.take().await);
        slots.resize(0);
        drop(slots.take().await);
    }
}
