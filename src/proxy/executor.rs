//! Runs what hyper wants to run beside a connection inside the connection's own task.
//!
//! So the supervisor sees one task for each connection, and nothing of it outlives it.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hyper::rt::Executor;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where hyper leaves the tasks of one connection.
#[derive(Clone, Default)]
pub(super) struct LocalTasks {
    /// Only ever touched by the connection's own task: the lock is never waited for.
    arrived: Arc<Mutex<Vec<Task>>>,
}

impl<F> Executor<F> for LocalTasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner).push(Box::pin(future));
    }
}

impl LocalTasks {
    fn take(&self) -> Vec<Task> {
        std::mem::take(&mut *self.arrived.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Drives a connection with its tasks until it ends. Each future is polled only when itself was woken. When
/// `ending` resolves, `close` asks the connection to finish what it has and to take nothing new.
pub(super) async fn drive<C>(
    connection: C,
    tasks: LocalTasks,
    ending: impl Future<Output = ()> + Send + 'static,
    close: impl Fn(Pin<&mut C>),
) -> C::Output
where
    C: Future,
{
    let mut connection = std::pin::pin!(connection);
    let mut ending: FuturesUnordered<Task> = std::iter::once(Box::pin(ending) as Task).collect();
    let mut running: FuturesUnordered<Task> = FuturesUnordered::new();
    std::future::poll_fn(move |context| {
        loop {
            if let Poll::Ready(Some(())) = ending.poll_next_unpin(context) {
                close(connection.as_mut());
            }
            while !running.is_empty()
                && let Poll::Ready(Some(())) = running.poll_next_unpin(context)
            {}
            if let Poll::Ready(output) = connection.as_mut().poll(context) {
                return Poll::Ready(output);
            }
            let arrived = tasks.take();
            if arrived.is_empty() {
                return Poll::Pending;
            }
            running.extend(arrived);
        }
    })
    .await
}
