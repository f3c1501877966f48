//! Lengths of time as people write them.

use std::time::Duration;

/// Reads `90s`, `30m`, `2h`, `14d`, `500ms`, and joined ones such as `1h30m`; `0` needs no unit.
///
/// # Errors
/// A text that says what is wrong and what would be right.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no length of time; write for instance 90s, 30m, 2h or 14d");
    let mut rest = text.trim();
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(wrong());
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let number: u64 = rest[..digits].parse().map_err(|_large| wrong())?;
        let unit = rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |end| digits + end);
        let millis: u64 = match &rest[digits..unit] {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        let part = number.checked_mul(millis).map(Duration::from_millis).ok_or_else(wrong)?;
        total = total.checked_add(part).ok_or_else(wrong)?;
        rest = &rest[unit..];
    }
    Ok(total)
}

/// As people write it, in its two largest units: `45s`, `30m`, `23h15m`, `14d`.
pub fn spoken(duration: Duration) -> String {
    let whole = duration.as_secs();
    let units = [("d", 86_400, u64::MAX), ("h", 3_600, 24), ("m", 60, 60), ("s", 1, 60)];
    let parts: Vec<String> = units
        .into_iter()
        .skip_while(|(_, seconds, _)| whole < *seconds)
        .take(2)
        .map(|(unit, seconds, wrap)| (unit, whole / seconds % wrap))
        .filter(|(_, number)| *number > 0)
        .map(|(unit, number)| format!("{number}{unit}"))
        .collect();
    if parts.is_empty() { "0s".to_owned() } else { parts.concat() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speaks_as_people_write() {
        for (seconds, text) in [
            (0, "0s"),
            (45, "45s"),
            (60, "1m"),
            (90, "1m30s"),
            (83_700, "23h15m"),
            (1_209_600, "14d"),
            (86_401, "1d"),
        ] {
            assert_eq!(spoken(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn reads_what_people_write() {
        for (text, seconds) in
            [("90s", 90), ("30m", 1800), ("1h30m", 5400), ("14d", 1_209_600), ("0", 0), ("0s", 0)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "5", "s", "1y", "-5s", "1.5h", "99999999999999999999s", "5m3"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
