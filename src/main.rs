//! The `drey` binary: hands over to the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    drey::cli::main()
}
