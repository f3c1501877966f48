//! What an nginx of a version understands.

use crate::ports::{PortError, PortResult};

/// `1.22.1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(u32, u32, u32);

impl Version {
    /// The oldest that drey writes for.
    pub(super) const OLDEST: Self = Self(1, 18, 0);

    /// Of what `nginx -v` says.
    pub(super) fn parse(said: &str) -> PortResult<Self> {
        let refused = || PortError::Permanent(format!("{said:?} is no answer of `nginx -v`"));
        let (_, rest) = said.split_once("nginx/").ok_or_else(refused)?;
        let number = rest.split(|c: char| !c.is_ascii_digit() && c != '.').next().unwrap_or_default();
        let mut parts = number.split('.').map(|part| part.parse().ok());
        let mut next = || parts.next().flatten().ok_or_else(refused);
        let version = Self(next()?, next()?, next()?);
        if version < Self::OLDEST {
            return Err(PortError::Permanent(format!("nginx {number} is too old: it must be 1.18 at least")));
        }
        Ok(version)
    }

    /// `ssl_reject_handshake`.
    pub(super) fn rejects_handshakes(self) -> bool {
        self >= Self(1, 19, 4)
    }

    /// HTTP/2 is a word of `listen`; later a directive of its own.
    pub(super) fn has_http2_in_listen(self) -> bool {
        self < Self(1, 25, 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_say_what_is_understood() {
        let read = |text: &str| Version::parse(text).unwrap();
        assert_eq!(read("nginx version: nginx/1.22.1"), Version(1, 22, 1));
        assert_eq!(read("nginx version: nginx/1.18.0 (Ubuntu)\n"), Version(1, 18, 0));
        assert!(!read("nginx/1.19.3").rejects_handshakes() && read("nginx/1.19.4").rejects_handshakes());
        assert!(read("nginx/1.25.0").has_http2_in_listen() && !read("nginx/1.25.1").has_http2_in_listen());
        for bad in ["", "nginx", "nginx/", "nginx/1", "nginx/1.2", "apache/2.4.1"] {
            assert!(Version::parse(bad).is_err(), "{bad}");
        }
        assert!(Version::parse("nginx/1.14.2").unwrap_err().to_string().contains("1.18"));
    }
}
