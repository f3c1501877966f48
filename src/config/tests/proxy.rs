//! The proxy.

use super::*;

#[test]
fn the_proxys_bounds_are_read_and_taken_up() {
    let proxy = "[proxy]\ndomain = \"qa.example\"\nhttp = \"0.0.0.0:80\"\n";
    let old = settings(proxy, &[]).unwrap();
    assert_eq!((old.proxy.timeouts.upstream, old.proxy.limits.streams), (None, 256));
    let bounds = "trusted_proxies = [\"10.0.0.0/8\"]\n[proxy.timeouts]\nupstream = \"90s\"\ndrain = \"0s\"\n\
                  [proxy.limits]\nconnections = 100\nconnections_per_address = 10\nstreams = 8\nheader_size = \"16KiB\"\n";
    let new = settings(&format!("{proxy}{bounds}"), &[]).unwrap();
    let (taken, later) = new.taken_up(&old);
    assert_eq!(later, ["proxy.limits.connections"]);
    assert_eq!(taken.proxy.timeouts.upstream, Some(Duration::from_secs(90)));
    assert_eq!(taken.proxy.timeouts.drain, Duration::ZERO);
    let limits = taken.proxy.limits;
    assert_eq!((old.proxy.limits.header_size, limits.header_size), (65_536, 16_384));
    assert_eq!((limits.connections, limits.connections_per_address, limits.streams), (None, Some(10), 8));
    assert_eq!(taken.proxy.trusted_proxies.len(), 1);
    let bad = "trusted_proxies = [\"10.0.0.1/8\"]\n[proxy.timeouts]\nheader = \"0s\"\nupstream = \"2h\"\n\
               [proxy.limits]\nconnections = 0\nstreams = 0\nheader_size = \"4KiB\"\n";
    let faults = settings(&format!("{proxy}{bad}"), &[]).unwrap_err().0;
    let mut keys: Vec<&str> = faults.iter().map(|fault| fault.key.as_str()).collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        [
            "proxy.limits.connections",
            "proxy.limits.header_size",
            "proxy.limits.streams",
            "proxy.timeouts.header",
            "proxy.timeouts.upstream",
            "proxy.trusted_proxies"
        ]
    );
}

#[test]
fn a_public_address_has_its_scheme() {
    let with = |url: &str| {
        settings(
            &format!(
                "[proxy]\ndomain = \"qa.example\"\nhttp = \"0.0.0.0:80\"\n[http]\npublic_url = \"{url}\""
            ),
            &[],
        )
    };
    for good in
        ["https://drey.example", "https://drey.example/", "http://127.0.0.1:8420", "http://[::1]:8420"]
    {
        assert!(with(good).is_ok(), "{good}");
    }
    for bad in ["", "drey.example", "ftp://drey.example", "https://", "https://anna@drey.example"] {
        let error = with(bad).unwrap_err().to_string();
        assert!(error.contains("http.public_url: must be an address with its scheme"), "{bad}: {error}");
    }
}
