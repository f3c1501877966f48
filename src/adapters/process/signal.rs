//! Signals to programs that drey did not start.

use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

use crate::ports::{PortError, PortResult};

/// What such a program is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// SIGHUP.
    Hangup,
    /// SIGUSR2.
    User2,
}

/// Sends the signal to the process that the file names, where that is a process of this name: a file that a former life left
/// may have the number of any other by now.
///
/// # Errors
/// [`PortError::NotFound`] where no such process runs.
pub fn tell(pid_file: &Path, name: &str, told: Told) -> PortResult<()> {
    let away = |why: &str| PortError::NotFound(format!("{}: {why}", pid_file.display()));
    let text = std::fs::read_to_string(pid_file).map_err(|error| away(&error.to_string()))?;
    let first = text.split_whitespace().next().unwrap_or_default();
    let number = first.parse().ok().filter(|number: &i32| *number > 0);
    let number = number.ok_or_else(|| away("has no process number in it"))?;
    let pid = Pid::from_raw(number).ok_or_else(|| away("has no process number in it"))?;
    let runs = std::fs::read_to_string(format!("/proc/{number}/comm")).unwrap_or_default();
    if runs.trim() != name {
        return Err(away(&format!("process {number} is no {name}")));
    }
    let signal = match told {
        Told::Hangup => Signal::HUP,
        Told::User2 => Signal::USR2,
    };
    kill_process(pid, signal)
        .map_err(|error| PortError::Transient(format!("process {number} cannot be told: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_program_that_is_meant_is_told() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let told = |text: &str| {
            std::fs::write(file.path(), text).unwrap();
            tell(file.path(), "no-such-program", Told::Hangup).unwrap_err().to_string()
        };
        // This very process would end.
        assert!(told(&std::process::id().to_string()).contains("is no no-such-program"));
        for bad in ["", "-1", "0", "nginx"] {
            assert!(told(bad).contains("has no process number"), "{bad}");
        }
        assert!(
            tell(Path::new("/nowhere/pid"), "x", Told::User2)
                .unwrap_err()
                .to_string()
                .contains("/nowhere/pid")
        );
    }
}
