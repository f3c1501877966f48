//! One HTTP/1 connection to a container, moved on by whoever uses it.
//!
//! It has no task of its own: a request and its answer cost no switch between tasks, and an idle connection nothing but
//! its memory. Nobody hears when a container closes one that is idle: it is looked at before it is used again.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1};
use hyper_util::rt::TokioIo;

use super::body::RequestBody;
use super::connect::Dialed;

/// Hyper's, with upgrades; its type has no name.
type Connection = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

/// Turns of the connection in one go. What rings still after these has others in front of it.
const TURNS: usize = 16;

/// A connection and the one who sends over it.
pub(super) struct Line {
    sender: http1::SendRequest<RequestBody>,
    /// None when it has ended.
    connection: Option<Connection>,
    bell: Arc<Bell>,
    waker: Waker,
}

/// Wakes the line's user. What rings while the line is moved on only makes it move on once more.
#[derive(Default)]
struct Bell {
    user: AtomicWaker,
    attended: AtomicBool,
    rung: AtomicBool,
}

impl Line {
    /// Speaks HTTP/1 over the stream, keeping at most `buffer` bytes of what is read.
    pub(super) async fn begin(stream: Dialed, buffer: usize) -> io::Result<Self> {
        let mut builder = http1::Builder::new();
        let begun = builder.max_buf_size(buffer).handshake::<_, RequestBody>(TokioIo::new(stream));
        let (sender, connection) = begun.await.map_err(io::Error::other)?;
        let bell = Arc::new(Bell::default());
        let waker = Waker::from(bell.clone());
        Ok(Self { sender, connection: Some(Box::pin(connection.with_upgrades())), bell, waker })
    }

    /// Sends the request and waits for the head of the answer; its body needs [`Line::drive`].
    pub(super) async fn try_send_request(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<RequestBody>>> {
        let mut answer = pin!(self.sender.try_send_request(request));
        poll_fn(|context| self.drive(context, |context| answer.as_mut().poll(context))).await
    }

    /// Moves the connection on until it brings what `heard` waits for.
    pub(super) fn drive<T>(
        &mut self,
        context: &mut Context<'_>,
        mut heard: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.bell.attend(context.waker());
        let mut inner = Context::from_waker(&self.waker);
        let mut polled = heard(&mut inner);
        for turn in 1..=TURNS {
            if polled.is_ready() {
                break;
            }
            if let Some(connection) = &mut self.connection
                && let Poll::Ready(ended) = connection.as_mut().poll(&mut inner)
            {
                ended.inspect_err(|error| tracing::debug!(%error, "a connection to a container broke")).ok();
                self.connection = None;
                polled = heard(&mut inner);
                break;
            }
            if !self.bell.take_ring() {
                break;
            }
            polled = heard(&mut inner);
            if turn == TURNS && polled.is_pending() {
                // There is more to do: when those in front had their turn.
                self.bell.rung.store(true, Ordering::SeqCst);
            }
        }
        self.bell.leave();
        polled
    }

    /// Whether a request can be sent: the last answer is complete, and the container has not closed the connection.
    pub(super) fn is_ready(&mut self) -> bool {
        let mut nobody = Context::from_waker(Waker::noop());
        let open: Poll<()> = self.drive(&mut nobody, |_| Poll::Pending);
        open.is_pending() && self.connection.is_some() && self.sender.is_ready()
    }

    /// Moves the connection on to its end: for one that becomes a tunnel.
    pub(super) async fn finish(mut self) {
        poll_fn(|context| {
            let open: Poll<()> = self.drive(context, |_| Poll::Pending);
            if open.is_pending() && self.connection.is_some() { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    }
}

impl Bell {
    fn attend(&self, user: &Waker) {
        self.user.register(user);
        self.attended.store(true, Ordering::SeqCst);
        self.rung.store(false, Ordering::SeqCst);
    }

    fn take_ring(&self) -> bool {
        self.rung.swap(false, Ordering::SeqCst)
    }

    /// From now on the user is woken; also for what rang since it was last asked.
    fn leave(&self) {
        self.attended.store(false, Ordering::SeqCst);
        if self.rung.load(Ordering::SeqCst) {
            self.user.wake();
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::SeqCst);
        if !self.attended.load(Ordering::SeqCst) {
            self.user.wake();
        }
    }
}
