//! What is counted and measured, as text; and what only the system can tell of the daemon.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use crate::ports::meters;
use crate::supervisor::process::ProcessFigures;

/// Renders what was counted. Clones share it.
#[derive(Clone)]
pub(super) struct FiguresHandle {
    recorded: PrometheusHandle,
    data_dir: PathBuf,
}

impl FiguresHandle {
    /// From now on what happens in this process is counted.
    pub(super) fn install(data_dir: &Path) -> anyhow::Result<Self> {
        let recorder = recorder()?;
        let recorded = recorder.handle();
        // A second daemon in one process, as tests have it, counts with the first.
        metrics::set_global_recorder(recorder).ok();
        meters::describe();
        Ok(Self { recorded, data_dir: data_dir.to_owned() })
    }

    /// Prometheus' text format.
    pub(super) fn render(&self) -> String {
        meters::set_of("drey_build_info", ("version", env!("CARGO_PKG_VERSION")), 1.0);
        self.disk();
        let process = ProcessFigures::read();
        if let Some(process) = process {
            for (name, value) in [
                ("process_resident_memory_bytes", process.resident_bytes),
                ("process_open_fds", process.open_descriptors),
                ("process_max_fds", process.descriptor_limit),
                ("process_start_time_seconds", process.started_at),
            ] {
                meters::set(name, value);
            }
        }
        let mut text = self.recorded.render();
        if let Some(process) = process {
            // The recorder counts in whole numbers.
            let name = "process_cpu_seconds_total";
            let help = "Processor time of the daemon, without its children.";
            let seconds = process.cpu_seconds;
            write!(text, "# HELP {name} {help}\n# TYPE {name} counter\n{name} {seconds}\n")
                .unwrap_or_default();
        }
        text
    }

    /// Durations are kept one by one until somebody asks; this sums them up when nobody does.
    pub(super) fn tidy(&self) {
        self.recorded.run_upkeep();
    }

    #[expect(clippy::cast_precision_loss, reason = "Prometheus knows floating point numbers only")]
    fn disk(&self) {
        if let Ok(stat) = rustix::fs::statvfs(&self.data_dir) {
            let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize) as f64;
            meters::set("drey_disk_total_bytes", bytes(stat.f_blocks));
            meters::set("drey_disk_free_bytes", bytes(stat.f_bavail));
        }
    }
}

fn recorder() -> anyhow::Result<PrometheusRecorder> {
    let builder = PrometheusBuilder::new()
        .set_buckets(meters::LONG_BUCKETS)
        .and_then(|it| {
            it.set_buckets_for_metric(Matcher::Full(meters::HOOK_DURATION.to_owned()), meters::SHORT_BUCKETS)
        })
        .context("the buckets of the metrics")?;
    Ok(builder.build_recorder())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ports::PortError;

    /// What counts in `work`, as text, without what other tests count.
    fn rendered(work: impl FnOnce()) -> String {
        let recorder = recorder().unwrap();
        let handle = FiguresHandle { recorded: recorder.handle(), data_dir: "/".into() };
        metrics::with_local_recorder(&recorder, || {
            meters::describe();
            work();
            handle.tidy();
            handle.render()
        })
    }

    #[test]
    fn what_happened_is_in_the_text() {
        let text = rendered(|| {
            meters::event_received("look", "git");
            meters::event_received("look", "git");
            meters::event_settled("look", "done");
            meters::deployment_ended("shop", "run", "failed", Duration::from_secs(3));
            drop(meters::step("deploy", "up"));
            meters::hook_answered(202, Duration::from_millis(3));
            meters::engine::<()>("ping", Err(PortError::Transient("away".into()))).unwrap_err();
            meters::git::<()>("fetch", Err(PortError::NotFound("gone".into()))).unwrap_err();
        });
        for line in [
            "drey_events_received_total{kind=\"look\",source=\"git\"} 2",
            "drey_events_settled_total{kind=\"look\",state=\"done\"} 1",
            "drey_deployments_total{repo=\"shop\",intent=\"run\",outcome=\"failed\"} 1",
            "drey_deployment_duration_seconds_bucket{intent=\"run\",outcome=\"failed\",le=\"2.5\"} 0",
            "drey_deployment_duration_seconds_bucket{intent=\"run\",outcome=\"failed\",le=\"5\"} 1",
            "drey_deployment_duration_seconds_sum{intent=\"run\",outcome=\"failed\"} 3",
            "drey_step_duration_seconds_count{plan=\"deploy\",step=\"up\"} 1",
            "drey_hook_requests_total{status=\"202\"} 1",
            "drey_hook_duration_seconds_bucket{le=\"0.0025\"} 0",
            "drey_hook_duration_seconds_bucket{le=\"0.005\"} 1",
            "drey_engine_errors_total{operation=\"ping\",kind=\"transient\"} 1",
            "# TYPE drey_engine_errors_total counter",
            "# TYPE drey_step_duration_seconds histogram",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("drey_git_errors_total{"), "what is not there is an answer");
        for name in ["process_resident_memory_bytes", "process_cpu_seconds_total", "drey_disk_free_bytes"] {
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
            assert!(value.is_some_and(|value| value > 0.0), "{name}: {value:?}");
        }
    }

    #[test]
    fn every_line_is_a_comment_or_a_sample() {
        let text = rendered(|| meters::reloaded("applied"));
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with("# ")) {
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
            let name = series.split('{').next().unwrap();
            assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'), "{line}");
        }
    }
}
