//! Options of Interlock's Beacon, which sent figures of containers.

use super::value::Verdict;

pub(super) fn judge(name: &str) -> Option<Verdict> {
    Some(Verdict::Ignored(match name {
        "name" => {
            "drey sends no figures: Prometheus finds containers at /api/v1/discovery/prometheus, see docs/discovery.md"
        }
        "statsinterval" | "statinterval" => "whoever reads the figures says how often",
        "statsbackendtype" => {
            "figures are read at /metrics, in Prometheus' form, which agents of InfluxDB read too"
        }
        "statsprometheuspushgatewayurl" => "nothing is pushed: let Prometheus read /metrics",
        "statsinfluxdbaddress"
        | "statsinfluxdbuser"
        | "statsinfluxdbpassword"
        | "statsinfluxdbdatabase"
        | "statsinfluxdbprecision" => "nothing is pushed: let an agent of InfluxDB read /metrics",
        "rules" => {
            "which containers are measured is said to Prometheus: relabel_configs, see docs/discovery.md"
        }
        _other => return None,
    }))
}
