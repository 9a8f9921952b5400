//! `raceway-analyzer`: see the library.

fn main() -> std::process::ExitCode {
    raceway_analyzer::main(std::env::args_os())
}
