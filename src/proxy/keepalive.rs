//! Clients that vanished without a word: a laptop that was closed must not keep an environment awake.

use std::io;
use std::time::Duration;

use rustix::net::sockopt;
use tokio::net::TcpListener;

/// Silence after which the kernel asks.
const IDLE: Duration = Duration::from_secs(60);
/// Pause between its questions.
const BETWEEN: Duration = Duration::from_secs(15);
/// Questions without an answer after which the connection is broken.
const QUESTIONS: u32 = 4;

/// Every connection that the listener accepts inherits it.
pub(super) fn ask_the_silent(listener: &TcpListener) -> io::Result<()> {
    sockopt::set_tcp_keepidle(listener, IDLE)?;
    sockopt::set_tcp_keepintvl(listener, BETWEEN)?;
    sockopt::set_tcp_keepcnt(listener, QUESTIONS)?;
    Ok(sockopt::set_socket_keepalive(listener, true)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_has_it_from_its_listener() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        ask_the_silent(&listener).unwrap();
        let client = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        assert!(
            sockopt::socket_keepalive(&accepted).unwrap() && !sockopt::socket_keepalive(&client).unwrap()
        );
        assert_eq!(sockopt::tcp_keepidle(&accepted).unwrap(), IDLE);
    }
}
