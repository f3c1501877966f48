//! The body of a delivery, read within limits: of its size, of its time, and of the memory that all of them share.

use std::future::Future;
use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use futures_util::StreamExt;

use super::border::{Refusal, Share};

/// How long a sender may take for its body.
const BODY_TIME: Duration = Duration::from_secs(10);

/// How a body is read.
pub(super) struct Reading {
    pub(super) limit: usize,
    /// Its bytes are wanted: else they are looked at only.
    pub(super) is_kept: bool,
    pub(super) share: Share,
}

/// A body and its part of the room.
pub(super) struct Received {
    pub(super) bytes: Vec<u8>,
    /// Given back when it is dropped.
    pub(super) share: Share,
}

/// What the head tells already: a body that is packed, a form, or too large. Nothing of it is read then.
pub(super) fn examine(headers: &HeaderMap, limit: usize) -> Result<(), Refusal> {
    let packed = headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"));
    if packed || says(headers, "multipart/") {
        return Err(Refusal::MediaType);
    }
    let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    match announced {
        Some(length) if usize::try_from(length).map_or(true, |length| length > limit) => {
            Err(Refusal::TooLarge)
        }
        Some(_) | None => Ok(()),
    }
}

/// Whether it says of itself that it is a form. Clients say so of every body when nobody tells them otherwise, so it
/// counts only where the body is not what it should be.
pub(super) fn says_form(headers: &HeaderMap) -> bool {
    says(headers, "application/x-www-form-urlencoded")
}

fn says(headers: &HeaderMap, kind: &str) -> bool {
    let given = headers.get(CONTENT_TYPE).map(|value| value.as_bytes()).unwrap_or_default();
    given.get(..kind.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(kind.as_bytes()))
}

/// Reads all of it, and shows each part as it comes. Only bytes that came take room: whoever announces much and sends
/// nothing keeps nobody out.
pub(super) async fn read(body: Body, reading: Reading, each: impl FnMut(&[u8])) -> Result<Received, Refusal> {
    read_within(BODY_TIME, collect(body, reading, each)).await
}

async fn read_within<T>(
    time: Duration,
    read: impl Future<Output = Result<T, Refusal>>,
) -> Result<T, Refusal> {
    tokio::time::timeout(time, read).await.unwrap_or(Err(Refusal::Slow))
}

async fn collect(body: Body, reading: Reading, mut each: impl FnMut(&[u8])) -> Result<Received, Refusal> {
    let Reading { limit, is_kept, share } = reading;
    let (mut received, mut length) = (Received { bytes: Vec::new(), share }, 0);
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let Ok(chunk) = chunk else { return Err(Refusal::BrokenOff) };
        length += chunk.len();
        if length > limit {
            return Err(Refusal::TooLarge);
        }
        each(&chunk);
        if is_kept {
            if !received.share.grow_to(length) {
                return Err(Refusal::NoRoom);
            }
            received.bytes.extend_from_slice(&chunk);
        }
    }
    Ok(received)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::border::Room;
    use super::*;

    async fn received(
        length: usize,
        limit: usize,
        is_kept: bool,
        room: &Arc<Room>,
    ) -> Result<usize, Refusal> {
        let mut seen = 0;
        let reading = Reading { limit, is_kept, share: Room::share(room, None) };
        let received = read(Body::from(vec![0; length]), reading, |part| seen += part.len()).await?;
        assert_eq!(seen, length);
        Ok(received.bytes.len())
    }

    #[tokio::test]
    async fn bodies_take_room_while_they_are_there_and_only_where_they_are_kept() {
        let room = Room::of(10, 10, 0);
        assert_eq!(received(10, 99, true, &room).await, Ok(10));
        assert_eq!(received(11, 99, true, &room).await, Err(Refusal::NoRoom));
        assert_eq!(received(11, 99, false, &room).await, Ok(0));
        let reading = Reading { limit: 99, is_kept: true, share: Room::share(&room, None) };
        let held = read(Body::from("six by"), reading, |_| {}).await.unwrap();
        assert_eq!(received(5, 99, true, &room).await, Err(Refusal::NoRoom));
        drop(held);
        assert_eq!(received(5, 99, true, &room).await, Ok(5));
        assert_eq!(received(5, 4, true, &room).await, Err(Refusal::TooLarge));
    }

    #[tokio::test]
    async fn a_body_that_never_ends_is_given_up() {
        let silent = Body::from_stream(futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>());
        let reading = Reading { limit: 99, is_kept: true, share: Room::share(&Room::of(9, 9, 9), None) };
        let received = read_within(Duration::from_millis(1), collect(silent, reading, |_| {}));
        assert_eq!(received.await.err(), Some(Refusal::Slow));
    }

    #[test]
    fn the_head_tells_enough() {
        let head = |name: &'static str, value: &'static str| {
            HeaderMap::from_iter([(name.parse().unwrap(), http::HeaderValue::from_static(value))])
        };
        for (name, value, expected) in [
            ("content-length", "100", Ok(())),
            ("content-length", "101", Err(Refusal::TooLarge)),
            ("content-length", "99999999999999999999", Ok(())),
            ("content-encoding", "gzip", Err(Refusal::MediaType)),
            ("content-encoding", "identity", Ok(())),
            ("content-type", "Multipart/form-data; boundary=x", Err(Refusal::MediaType)),
            ("content-type", "application/json", Ok(())),
        ] {
            assert_eq!(examine(&head(name, value), 100), expected, "{name}: {value}");
        }
        assert!(says_form(&head("content-type", "application/x-www-form-urlencoded; charset=utf-8")));
        assert!(!says_form(&head("content-type", "text/plain")) && !says_form(&HeaderMap::new()));
    }
}
