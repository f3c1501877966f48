//! Which certificate a host is shown.

use super::model::Certificate;

/// The number of the certificate for the host: one that has its very name, else one with a wildcard for it, else the first.
pub(super) fn certificate_for(host: &str, certificates: &[Certificate]) -> usize {
    let parent = host.split_once('.').map_or("", |(_, parent)| parent);
    let wildcard = format!("*.{parent}");
    let by_name =
        |wanted: &str| certificates.iter().position(|it| it.names.iter().any(|name| name == wanted));
    by_name(host).or_else(|| by_name(&wildcard)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_counts() {
        let of = |names: &[&str]| Certificate {
            names: names.iter().map(ToString::to_string).collect(),
            chain: Vec::new(),
            key: Vec::new(),
        };
        let all = [of(&["*.qa.example"]), of(&["*.other.example"]), of(&["a.other.example"])];
        assert_eq!(certificate_for("x.qa.example", &all), 0);
        assert_eq!(certificate_for("x.other.example", &all), 1);
        assert_eq!(certificate_for("a.other.example", &all), 2);
        assert_eq!(certificate_for("nowhere", &all), 0);
    }
}
