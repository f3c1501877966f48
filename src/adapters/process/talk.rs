//! A child that is talked to: what is written goes to its standard input, what it says is read.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};

use super::Command;
use super::lines::decode;
use super::running::{self, Running};
use crate::ports::{PortError, PortResult};

/// How much of standard error is told where it said nothing else.
const TOLD: usize = 1024;

/// A running child as a stream. Dropping it ends the child and its group.
pub struct Talk {
    input: Option<ChildStdin>,
    output: ChildStdout,
    complaints: Option<ChildStderr>,
    complained: Vec<u8>,
    has_spoken: bool,
    name: String,
    _running: Running,
}

impl Command {
    /// Starts it and gives its standard input and output as one stream. There is no time limit.
    ///
    /// # Errors
    /// When it cannot be started. What ends without a word is an error of the first read, with what it complained of.
    pub fn talk(self) -> PortResult<Talk> {
        let mut running = running::spawn(&self, true)?;
        let (Some(input), Some(output), complaints) = running.pipes() else {
            return Err(PortError::Transient(format!("{}: has no pipes", self.name)));
        };
        let (complained, has_spoken) = (Vec::new(), false);
        let input = Some(input);
        Ok(Talk { input, output, complaints, complained, has_spoken, name: self.name, _running: running })
    }
}

impl Talk {
    /// Takes what it complains of, so that it is never kept waiting; ready when there is no more.
    fn listen(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut chunk = [0; 512];
        while let Some(pipe) = &mut self.complaints {
            let mut buffer = ReadBuf::new(&mut chunk);
            let read = ready!(Pin::new(pipe).poll_read(context, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                self.complaints = None;
            }
            let room = TOLD.saturating_sub(self.complained.len());
            self.complained.extend(buffer.filled().iter().take(room));
        }
        Poll::Ready(())
    }

    fn silence(&self) -> io::Error {
        let said = decode(&self.complained);
        let said = if said.trim().is_empty() { "and said nothing" } else { said.trim() };
        io::Error::other(format!("{} ended: {said}", self.name))
    }
}

impl AsyncRead for Talk {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let listened = this.listen(context);
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.output).poll_read(context, buffer))?;
        if buffer.filled().len() > before {
            this.has_spoken = true;
        } else if !this.has_spoken && buffer.remaining() > 0 {
            ready!(listened);
            return Poll::Ready(Err(this.silence()));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Talk {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().input {
            Some(input) => Pin::new(input).poll_write(context, bytes),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().input {
            Some(input) => Pin::new(input).poll_flush(context),
            None => Poll::Ready(Ok(())),
        }
    }

    /// Ends its standard input; it may go on speaking.
    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(input) = &mut this.input {
            ready!(Pin::new(input).poll_shutdown(context))?;
            this.input = None;
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn it_is_talked_to_and_hears_the_end() {
        let mut talk = Command::new("sh").args(["-c", "echo loud >&2; cat"]).talk().unwrap();
        talk.write_all(b"hello").await.unwrap();
        talk.shutdown().await.unwrap();
        let mut said = String::new();
        talk.read_to_string(&mut said).await.unwrap();
        assert_eq!(said, "hello");
        assert!(talk.write_all(b"more").await.is_err());
    }

    #[tokio::test]
    async fn what_ends_without_a_word_tells_what_it_complained_of() {
        let mut talk = Command::new("sh").args(["-c", "echo no key fits >&2; exit 255"]).talk().unwrap();
        let told = talk.read_u8().await.unwrap_err().to_string();
        assert_eq!(told, "sh ended: no key fits");
        assert!(Command::new("/nonexistent").talk().is_err());
    }
}
