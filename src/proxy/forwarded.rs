//! What a trusted proxy in front of this one says of the client: kept, and extended by its own address.

use std::net::IpAddr;

use http::header::FORWARDED;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::connection::ConnectionInfo;
use crate::domain::network;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const PREFIX: &str = "x-forwarded-";

/// The headers of a request that tell of its client, as they came.
pub(super) struct Told(HeaderMap);

impl Told {
    /// Nothing, where the peer is nobody to be believed.
    pub(super) fn take(headers: &HeaderMap, client: &ConnectionInfo) -> Option<Self> {
        client.trusted.as_ref()?;
        let tells =
            |name: &HeaderName| *name == FORWARDED || *name == X_REAL_IP || name.as_str().starts_with(PREFIX);
        let told = headers.iter().filter(|(name, _)| tells(name));
        Some(Self(told.map(|(name, value)| (name.clone(), value.clone())).collect()))
    }

    /// Puts them back over our own. Lists get the peer at their end, the rest stays as it was said.
    pub(super) fn put_back(self, headers: &mut HeaderMap, client: &ConnectionInfo) {
        let real = self.real_address(client);
        for name in self.0.keys() {
            let values: Vec<&[u8]> = self.0.get_all(name).iter().map(HeaderValue::as_bytes).collect();
            let is_list = *name == FORWARDED || *name == X_FORWARDED_FOR;
            let own = if is_list { headers.get(name).map(HeaderValue::as_bytes) } else { None };
            let joined = values.into_iter().chain(own).collect::<Vec<_>>().join(&b", "[..]);
            if let Ok(value) = HeaderValue::from_bytes(&joined) {
                headers.insert(name.clone(), value);
            }
        }
        if let Some(real) = real {
            headers.insert(X_REAL_IP, real);
        }
    }

    /// Where nobody said it: the last of `X-Forwarded-For` that is no trusted proxy.
    fn real_address(&self, client: &ConnectionInfo) -> Option<HeaderValue> {
        if self.0.contains_key(X_REAL_IP) {
            return None;
        }
        HeaderValue::try_from(last_stranger(&self.0, client)?.to_string()).ok()
    }
}

/// Whose request it is, as a trusted proxy says: the last of `X-Forwarded-For` that is none, else `X-Real-IP`. Nothing
/// where the peer is nobody to be believed, or says nothing of it.
pub(super) fn client_before(headers: &HeaderMap, client: &ConnectionInfo) -> Option<IpAddr> {
    client.trusted.as_ref()?;
    if headers.contains_key(X_FORWARDED_FOR) {
        return last_stranger(headers, client);
    }
    headers.get(X_REAL_IP)?.to_str().ok()?.trim().parse().ok()
}

fn last_stranger(headers: &HeaderMap, client: &ConnectionInfo) -> Option<IpAddr> {
    let forwarded = headers.get_all(X_FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok());
    let forwarded: Vec<&str> = forwarded.collect();
    Some(network::client(client.peer, &forwarded, client.trusted.as_ref()?))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Semaphore;

    use super::super::headers::to_upstream;
    use super::*;
    use crate::domain::network::Network;

    /// The headers that a container gets of these, from a peer in a trusted network.
    fn passed(pairs: &[(&'static str, &'static str)]) -> Vec<String> {
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let trusted = Some(Arc::new(vec![Network::parse("10.0.0.0/8").unwrap()]));
        let client = ConnectionInfo::new("10.0.0.9:1".parse().unwrap(), false, permit).trusted(trusted);
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        to_upstream(&mut headers, &HeaderValue::from_static("a.b"), &client);
        let line =
            |(name, value): (&HeaderName, &HeaderValue)| format!("{name}: {}", value.to_str().unwrap());
        let mut lines: Vec<String> = headers.iter().map(line).collect();
        lines.sort();
        lines
    }

    #[test]
    fn what_a_trusted_proxy_says_is_kept_and_extended() {
        let given = [
            ("x-forwarded-for", "6.6.6.6, 192.0.2.1"),
            ("x-forwarded-for", "10.0.0.8"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "shop.example"),
            ("x-forwarded-prefix", "/qa"),
            ("forwarded", "for=192.0.2.1;proto=https"),
            // Never a proxy's to say.
            ("x_forwarded_for", "6.6.6.6"),
            ("x-drey-environment", "1"),
            ("proxy", "evil"),
        ];
        assert_eq!(
            passed(&given),
            [
                "forwarded: for=192.0.2.1;proto=https, for=10.0.0.9;host=\"a.b\";proto=http",
                "host: a.b",
                "x-forwarded-for: 6.6.6.6, 192.0.2.1, 10.0.0.8, 10.0.0.9",
                "x-forwarded-host: shop.example",
                "x-forwarded-port: 80",
                "x-forwarded-prefix: /qa",
                "x-forwarded-proto: https",
                "x-real-ip: 192.0.2.1",
            ]
        );
    }

    #[test]
    fn what_it_does_not_say_is_ours_to_say() {
        let own = passed(&[]);
        assert!(own.contains(&"x-forwarded-for: 10.0.0.9".to_owned()), "{own:?}");
        assert!(own.contains(&"x-real-ip: 10.0.0.9".to_owned()), "{own:?}");
        let real = passed(&[("x-real-ip", "192.0.2.7"), ("x-forwarded-for", "192.0.2.1")]);
        assert!(real.contains(&"x-real-ip: 192.0.2.7".to_owned()), "{real:?}");
    }
}
