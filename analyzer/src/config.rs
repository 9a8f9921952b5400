//! The analyzer's settings: flags and environment, read once.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Takes spans in, keeps them, works out what they mean, and answers.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "raceway-analyzer", version)]
pub struct Config {
    /// Where spans are kept; created if it is not there
    #[arg(long, env = "RACEWAY_DATA_DIR", default_value = "raceway-data", value_name = "DIR")]
    pub data_dir: PathBuf,

    /// Address of the page, the API, /metrics and Raceway events
    #[arg(long, env = "RACEWAY_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDR")]
    pub listen: SocketAddr,

    /// Address for OTLP over gRPC
    #[arg(long, env = "RACEWAY_OTLP_GRPC", default_value = "127.0.0.1:4317", value_name = "ADDR")]
    pub otlp_grpc: SocketAddr,

    /// Address for OTLP over HTTP
    #[arg(long, env = "RACEWAY_OTLP_HTTP", default_value = "127.0.0.1:4318", value_name = "ADDR")]
    pub otlp_http: SocketAddr,

    /// Written as JSON with the bound addresses once everything listens
    #[arg(long, env = "RACEWAY_READY_FILE", value_name = "FILE")]
    pub ready_file: Option<PathBuf>,
}
