//! What is printed: tables, JSON, and nothing that a hostile name could smuggle into a terminal.

use clap::Command;
use clap_complete::Shell;
use serde_json::Value;

use crate::domain::text::{clean, clean_but_colours, escape_json};

/// Prints a line to standard output; a closed pipe ends it silently.
pub(super) fn print(text: &str) {
    use std::io::Write;
    writeln!(std::io::stdout(), "{text}").ok();
}

/// A remark on standard error: no part of what was asked for.
pub(super) fn note(text: &str) {
    use std::io::Write;
    writeln!(std::io::stderr(), "{}", plain(text)).ok();
}

pub(super) fn print_json(value: &Value) {
    print(&escape_json(&value.to_string()));
}

/// A line of a program's log: a terminal shows its colours, everything else is taken out.
pub(super) fn print_log_line(line: &str) {
    use std::io::IsTerminal;
    let is_terminal = std::io::stdout().is_terminal();
    print(&if is_terminal { format!("{}\u{1b}[0m", clean_but_colours(line)) } else { clean(line) });
}

pub(super) fn completion(shell: Shell, command: &mut Command) {
    clap_complete::generate(shell, command, "drey", &mut std::io::stdout());
}

/// Text without what would steer the terminal; line breaks and tabs stay.
pub(super) fn plain(text: &str) -> String {
    clean(text)
}

/// Rows in aligned columns under a head.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) {
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.iter().map(|cell| plain(cell).replace(['\n', '\t'], " ")).collect())
        .collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([head.get(column).map_or(0, |head| head.len())]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: &[String]| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    print(&line(&head.iter().map(|cell| cell.to_uppercase()).collect::<Vec<_>>()));
    for row in &rows {
        print(&line(row));
    }
}

/// Names and values, one a line.
pub(super) fn fields(fields: &[(&str, String)]) {
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
        let value = plain(value).replace('\n', &format!("\n{:width$}  ", ""));
        print(&format!("{name:width$}  {value}"));
    }
}

/// A value as a person reads it: text as it is, nothing for null.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_cannot_steer_the_terminal() {
        assert_eq!(plain("a\x1b[31mred\u{202e}x\n\tb"), "aredx\n\tb");
    }
}
