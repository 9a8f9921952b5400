//! What `tests/bench/run` measures with. Every part prints JSON lines and ends with whoever started it.
//!
//! ```text
//! bench-tools sink                                    an OTLP/gRPC receiver that counts spans
//! bench-tools open-loop PORT RATE CONNECTIONS SECONDS requests at a fixed rate, whatever the answers do
//! bench-tools serve-bytes                             sends as many MiB as it is asked for
//! bench-tools pull-bytes PORT MIB                     asks for them and reads them
//! ```

#![forbid(unsafe_code)]

mod bytes;
mod open_loop;
mod sink;

use std::io;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-tools {}: {error}", args.join(" "));
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[&str]) -> io::Result<()> {
    match args {
        ["sink"] => sink::run(),
        ["open-loop", port, rate, connections, seconds] => {
            open_loop::run(number(port)?, number(rate)?, number(connections)?, number(seconds)?)
        }
        ["serve-bytes"] => bytes::serve(),
        ["pull-bytes", port, mib] => bytes::pull(number(port)?, number(mib)?),
        _ => Err(io::Error::other("see the first lines of tests/bench/tools/src/main.rs")),
    }
}

fn number<T: std::str::FromStr>(text: &str) -> io::Result<T> {
    text.parse().map_err(|_| io::Error::other(format!("`{text}` is not a number that fits")))
}
