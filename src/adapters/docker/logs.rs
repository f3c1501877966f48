//! What a container wrote.

use std::collections::HashMap;

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::query_parameters::{InspectContainerOptions, LogsOptionsBuilder};
use futures_util::StreamExt as _;

use super::observe::SERVICE_LABEL;
use super::{CALL_LIMIT, call, checked_name, error};
use crate::ports::{LogLine, LogRange, LogSink, PortResult};

/// Standard output and error in the order the engine kept them, each line with its time, under the service's name.
pub(super) async fn logs(
    client: &Docker,
    container: &str,
    range: LogRange,
    log: &dyn LogSink,
) -> PortResult<()> {
    let container = checked_name("container", container)?;
    let what = format!("log of container {container}");
    let source = source_of(client, container).await?;
    let (tail, follow) = match range {
        LogRange::Last(lines) => (lines.to_string(), false),
        LogRange::All => ("all".to_owned(), false),
        LogRange::UntilItStops => ("all".to_owned(), true),
    };
    let options = LogsOptionsBuilder::new()
        .stdout(true)
        .stderr(true)
        .timestamps(true)
        .tail(&tail)
        .follow(follow)
        .build();
    let mut output = Box::pin(client.logs(container, Some(options)));
    while let Some(chunk) = output.next().await {
        for text in lines(&chunk.map_err(|failure| error::map(&what, failure))?) {
            log.line(LogLine { source: source.clone(), text });
        }
    }
    Ok(())
}

/// The compose service, or the container's name when it has none.
async fn source_of(client: &Docker, container: &str) -> PortResult<String> {
    let look = client.inspect_container(container, None::<InspectContainerOptions>);
    let inspected = call(&format!("container {container}"), CALL_LIMIT, look).await?;
    let labels: HashMap<String, String> =
        inspected.config.and_then(|config| config.labels).unwrap_or_default();
    let name = inspected.name.unwrap_or_default();
    Ok(labels.get(SERVICE_LABEL).cloned().unwrap_or_else(|| name.trim_start_matches('/').to_owned()))
}

/// The engine sends one frame a line; what a container writes need not be UTF-8.
fn lines(chunk: &LogOutput) -> Vec<String> {
    let text = String::from_utf8_lossy(chunk.as_ref());
    text.lines().map(|line| line.trim_end_matches('\r').to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_cut_into_lines() {
        let chunk = LogOutput::StdErr { message: bytes::Bytes::from_static(b"t1 a\r\nt2 \xff\n") };
        assert_eq!(lines(&chunk), ["t1 a", "t2 \u{fffd}"]);
    }
}
