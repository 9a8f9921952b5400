//! `raceway`: see the library.

fn main() -> std::process::ExitCode {
    raceway_cli::main(std::env::args_os())
}
