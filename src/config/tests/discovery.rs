//! `[discovery]`.

use super::*;

#[test]
fn containers_of_others_are_looked_for_only_where_it_is_said() {
    let read = |text: &str| settings(&format!("{SMALL}\n[discovery]\n{text}"), &[]);
    let none = settings(SMALL, &[]).unwrap();
    assert!(!none.discovery.enabled && none.discovery.domains.is_empty());
    let asked =
        read("enabled = true\ndomains = [\"*.apps.example\", \"shop.example\"]\npoll_interval = \"2s\"")
            .unwrap();
    assert!(asked.discovery.enabled && asked.discovery.domains.len() == 2);
    assert_eq!(asked.discovery.poll_interval, Duration::from_secs(2));
    let (_, later) = asked.taken_up(&none);
    assert_eq!(later, ["discovery"]);
    let faults = read("domains = [\"*\", \"A.example\"]\npoll_interval = \"10ms\"\nports = 1").unwrap_err().0;
    let mut keys: Vec<&str> = faults.iter().map(|fault| fault.key.as_str()).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["discovery.domains", "discovery.poll_interval", "discovery.ports"]);
}
