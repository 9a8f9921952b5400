//! `--control`: where the operator of this host reaches the sidecar.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Serialize;

use super::Problem;

/// The control face.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Control {
    /// A Unix socket that only this process's user can open.
    Socket(PathBuf),
    /// A port on loopback, for who knows the token.
    Loopback {
        /// Where; port 0 lets the system choose.
        address: SocketAddr,
        /// What holds the token.
        token_file: PathBuf,
    },
}

impl Control {
    /// `/run/raceway/control.sock`, or `127.0.0.1:15021` with a token file.
    pub fn parse(text: &str, token_file: Option<&str>) -> Result<Self, Problem> {
        // A path has a slash, an address has none.
        if text.contains('/') {
            return Ok(Self::Socket(text.into()));
        }
        let address: SocketAddr = text.parse().map_err(|_| Problem::Control)?;
        match token_file {
            _ if !address.ip().is_loopback() => Err(Problem::ControlOutside),
            None => Err(Problem::ControlToken),
            Some(file) => Ok(Self::Loopback { address, token_file: file.into() }),
        }
    }
}
