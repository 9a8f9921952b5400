//! The sidecar's binary; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    raceway_proxy::main(std::env::args_os())
}
