//! The other end of the control face: `raceway-proxy quit`, `edges`, `log-level` and `config`.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use clap::Args;

use super::control::token;
use crate::config::{Control, HostPort};

/// How long a sidecar may take to answer: its admin thread does nothing that takes longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Which sidecar is meant.
#[derive(Clone, Debug, Args)]
pub struct Reach {
    /// Where the sidecar's control face is: the path or address that it was given
    #[arg(long, env = "RACEWAY_CONTROL", value_name = "PATH|ADDR", default_value = "/run/raceway/control.sock")]
    pub control: String,

    /// File with the token, where the control face is an address
    #[arg(long, env = "RACEWAY_CONTROL_TOKEN_FILE", value_name = "FILE")]
    pub control_token_file: Option<String>,
}

/// Why there is no answer to show.
#[derive(Debug)]
pub(crate) enum Failed {
    /// The command line asks for what cannot be.
    Usage(String),
    /// The sidecar was not reached, or said no.
    Asking(String),
}

/// Asks a sidecar; returns what it answers.
pub(crate) fn ask(reach: &Reach, method: &str, path: &str, body: &str) -> Result<String, Failed> {
    let control = Control::parse(&reach.control, reach.control_token_file.as_deref());
    let control = control.map_err(|problem| Failed::Usage(format!("--control {:?}: {problem}", reach.control)))?;
    let request = |host: &str, more: &str| {
        let length = body.len();
        format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n{more}content-length: {length}\r\n\r\n{body}")
    };
    let answer = match &control {
        Control::Socket(path) => UnixStream::connect(path).and_then(|stream| {
            stream.set_read_timeout(Some(PATIENCE))?;
            exchange(stream, &request("localhost", ""))
        }),
        Control::Loopback { address, token_file } => {
            let token = token(token_file).map_err(Failed::Usage)?;
            TcpStream::connect_timeout(address, PATIENCE).and_then(|stream| {
                stream.set_read_timeout(Some(PATIENCE))?;
                let host = HostPort { host: address.ip().to_string().into(), port: address.port() }.to_string();
                exchange(stream, &request(&host, &format!("authorization: Bearer {token}\r\n")))
            })
        }
    };
    let answer = answer.map_err(|error| {
        let told = "check that a sidecar of yours runs with the same --control";
        Failed::Asking(format!("no answer at {}: {error}; {told}", reach.control))
    })?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    match head.split(' ').nth(1) {
        Some("200") => Ok(body.to_owned()),
        Some("401") => Err(Failed::Asking(format!(
            "the token is not the one of the sidecar at {}; check --control-token-file",
            reach.control
        ))),
        Some(status) => Err(Failed::Asking(format!("the sidecar answered {status}: {}", body.trim_end()))),
        None => Err(Failed::Asking(format!("what answers at {} is no sidecar", reach.control))),
    }
}

fn exchange(mut stream: impl Read + Write, request: &str) -> io::Result<String> {
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
