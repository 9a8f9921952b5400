//! `raceway-under-test`: the command line, built where the tests can find it.

fn main() -> std::process::ExitCode {
    raceway_cli::main(std::env::args_os())
}
