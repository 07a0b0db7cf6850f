//! The launcher of the sandbox, for tests.

use std::process::ExitCode;

fn main() -> ExitCode {
    wheelfarm_executor::sandbox::launcher_main()
}
