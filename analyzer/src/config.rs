//! The analyzer's settings: flags and environment, read once into finished types.
//!
//! [`Args`] is the one place that says what there is; [`Config`] is what comes of it, or all that is wrong with it.

use std::ffi::OsString;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

/// Takes spans in, keeps them, works out what they mean, and answers.
#[derive(Debug, Parser)]
#[command(name = "raceway-analyzer", version)]
pub(crate) struct Args {
    /// Where spans are kept; made if it is not there
    ///
    /// Default: a folder beside where it is started, so that a first try needs no decision.
    #[arg(long, env = "RACEWAY_DATA_DIR", default_value = "raceway-data", value_name = "DIR")]
    data_dir: PathBuf,

    /// Address of the page, the API, /metrics and Raceway events
    ///
    /// Default: reachable from this machine only, until someone decides otherwise; 8080 is Raceway's own.
    #[arg(long, env = "RACEWAY_LISTEN", default_value = "127.0.0.1:8080", value_name = "HOST:PORT")]
    listen: String,

    /// Address for OTLP over gRPC
    ///
    /// Default: OTLP's registered port, where exporters send without being told.
    #[arg(long, env = "RACEWAY_OTLP_GRPC", default_value = "127.0.0.1:4317", value_name = "HOST:PORT")]
    otlp_grpc: String,

    /// Address for OTLP over HTTP
    ///
    /// Default: OTLP's registered port, where exporters send without being told.
    #[arg(long, env = "RACEWAY_OTLP_HTTP", default_value = "127.0.0.1:4318", value_name = "HOST:PORT")]
    otlp_http: String,

    /// How long traces are kept (30m, 12h, 7d)
    ///
    /// Default: a week, so that the same hour of the same weekday is there to compare with.
    #[arg(long, env = "RACEWAY_RETENTION_AGE", default_value = "7d", value_name = "TIME")]
    retention_age: String,

    /// How much may lie on the disk before the oldest traces go (512MiB, 10GiB)
    ///
    /// Default: some thirty million spans, and within what a laptop or a small volume has to spare.
    #[arg(long, env = "RACEWAY_RETENTION_SIZE", default_value = "10GiB", value_name = "SIZE")]
    retention_size: String,

    /// File to write the bound addresses to, as JSON, once everything listens
    #[arg(long, env = "RACEWAY_READY_FILE", value_name = "FILE")]
    ready_file: Option<PathBuf>,

    /// What to log: error, warn, info, debug, or a filter like info,raceway_analyzer::store=debug
    ///
    /// Default: what an operator acts on, with one line per start and stop.
    #[arg(long, env = "RACEWAY_LOG", default_value = "info", value_name = "FILTER")]
    log: String,

    /// How to log: text or json
    ///
    /// Default: for people; collectors of logs ask for json.
    #[arg(long, env = "RACEWAY_LOG_FORMAT", default_value = "text", value_name = "FORMAT")]
    log_format: String,
}

/// Everything the analyzer can be told, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where spans are kept.
    pub data_dir: PathBuf,
    /// Address of the page, the API, `/metrics` and Raceway events.
    pub listen: SocketAddr,
    /// Address for OTLP over gRPC.
    pub otlp_grpc: SocketAddr,
    /// Address for OTLP over HTTP.
    pub otlp_http: SocketAddr,
    /// How long traces are kept.
    pub retention_age: Duration,
    /// How many bytes may lie on the disk.
    pub retention_bytes: u64,
    /// File for the bound addresses.
    pub ready_file: Option<PathBuf>,
    /// What to log.
    pub log: String,
    /// Whether to log JSON.
    pub log_json: bool,
}

/// Below this, the database's own journal would be most of it.
const RETENTION_BYTES_MIN: u64 = 512 << 20;

/// Below this, traces would go while their last spans arrive.
const RETENTION_AGE_MIN: Duration = Duration::from_secs(600);

/// Why there is no configuration.
#[derive(Debug)]
pub enum NoConfig {
    /// Help or the version was asked for: this is it.
    Shown(clap::Error),
    /// What is wrong, one line each.
    Wrong(Vec<String>),
}

impl Config {
    /// Reads flags and environment; the first argument is the program's name.
    pub fn read(args: impl Iterator<Item = OsString>) -> Result<Self, NoConfig> {
        let args = Args::try_parse_from(args).map_err(|error| match error.kind() {
            clap::error::ErrorKind::DisplayHelp | clap::error::ErrorKind::DisplayVersion => NoConfig::Shown(error),
            _ => NoConfig::Wrong(vec![one_line(&error)]),
        })?;
        Self::check(args).map_err(NoConfig::Wrong)
    }

    fn check(args: Args) -> Result<Self, Vec<String>> {
        let mut wrong = Vec::new();
        let mut address = |flag: &str, text: &str| match text.to_socket_addrs().map(|mut found| found.next()) {
            Ok(Some(address)) => address,
            _ => {
                wrong.push(format!("{flag} {text:?} is no address; write HOST:PORT, as in 0.0.0.0:8080"));
                SocketAddr::from(([127, 0, 0, 1], 0))
            }
        };
        let listen = address("--listen", &args.listen);
        let otlp_grpc = address("--otlp-grpc", &args.otlp_grpc);
        let otlp_http = address("--otlp-http", &args.otlp_http);
        let retention_age = match duration(&args.retention_age).filter(|&age| age >= RETENTION_AGE_MIN) {
            Some(age) => age,
            None => {
                let text = &args.retention_age;
                wrong.push(format!("--retention-age {text:?} must be ten minutes or more, written as 30m, 12h or 7d"));
                RETENTION_AGE_MIN
            }
        };
        let retention_bytes = match size(&args.retention_size).filter(|&bytes| bytes >= RETENTION_BYTES_MIN) {
            Some(bytes) => bytes,
            None => {
                let text = &args.retention_size;
                wrong.push(format!("--retention-size {text:?} must be 512MiB or more, written as 512MiB or 10GiB"));
                RETENTION_BYTES_MIN
            }
        };
        if let Err(error) = args.log.parse::<tracing_subscriber::EnvFilter>() {
            wrong.push(format!("--log {:?} is no filter: {error}; write info, or debug", args.log));
        }
        if !matches!(&*args.log_format, "text" | "json") {
            wrong.push(format!("--log-format {:?} must be text or json", args.log_format));
        }
        let config = Self {
            data_dir: args.data_dir,
            listen,
            otlp_grpc,
            otlp_http,
            retention_age,
            retention_bytes,
            ready_file: args.ready_file,
            log: args.log,
            log_json: args.log_format == "json",
        };
        if wrong.is_empty() { Ok(config) } else { Err(wrong) }
    }
}

/// What clap says over several lines, in one: what is wrong, what was perhaps meant, where to look.
fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let said: Vec<&str> = text
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"))
        .map(|line| line.trim_start_matches("error: ").trim_start_matches("tip: "))
        .filter(|line| !line.is_empty())
        .collect();
    format!("{}; --help lists what there is", said.join("; "))
}

/// A whole number with a unit: `s`, `m`, `h`, `d`.
fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = number_and_unit(text)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        _ => return None,
    };
    number.checked_mul(seconds).map(Duration::from_secs)
}

/// A whole number with a unit: `MiB`, `GiB`, `TiB`, or their short forms as in Kubernetes, or decimal ones.
fn size(text: &str) -> Option<u64> {
    let (number, unit) = number_and_unit(text)?;
    let bytes = match unit {
        "" | "B" => 1,
        "MB" | "M" => 1_000_000,
        "GB" | "G" => 1_000_000_000,
        "TB" | "T" => 1_000_000_000_000,
        "MiB" | "Mi" => 1 << 20,
        "GiB" | "Gi" => 1 << 30,
        "TiB" | "Ti" => 1 << 40,
        _ => return None,
    };
    number.checked_mul(bytes)
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    Some((number.parse().ok()?, unit.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: &[&str]) -> Result<Config, NoConfig> {
        Config::read(std::iter::once("raceway-analyzer").chain(args.iter().copied()).map(OsString::from))
    }

    fn wrong(args: &[&str]) -> Vec<String> {
        match read(args) {
            Err(NoConfig::Wrong(wrong)) => wrong,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn defaults_are_fine_and_flags_win() {
        let config = read(&["--listen", "[::1]:0", "--retention-age", "12h", "--retention-size", "2Gi"]).unwrap();
        assert_eq!(config.listen, "[::1]:0".parse().unwrap());
        assert_eq!(config.otlp_grpc.port(), 4317);
        assert_eq!((config.retention_age, config.retention_bytes), (Duration::from_secs(12 * 3600), 2 << 30));
    }

    #[test]
    fn everything_that_is_wrong_is_told_in_one_line_each() {
        let told =
            wrong(&["--listen", "8080", "--retention-age", "soon", "--retention-size", "1MiB", "--log-format", "x"]);
        assert_eq!(told.len(), 4, "{told:?}");
        for (line, part) in told.iter().zip(["HOST:PORT", "7d", "512MiB", "text or json"]) {
            assert!(line.contains(part) && !line.contains('\n'), "{line}");
        }
        let told = wrong(&["--lisen", "1"]);
        assert!(told[0].contains("--lisen") && told[0].contains("--listen") && !told[0].contains('\n'), "{told:?}");
        assert!(matches!(read(&["--help"]), Err(NoConfig::Shown(_))));
    }

    #[test]
    fn times_and_sizes() {
        assert_eq!(duration("90s"), Some(Duration::from_secs(90)));
        assert_eq!(["", "7", "d", "-1d", "1.5h", "99999999999999999999d"].map(duration), [None; 6]);
        assert_eq!(duration("18446744073709551615d"), None);
        assert_eq!(["1MiB", "1 GB", "7"].map(size), [Some(1 << 20), Some(1_000_000_000), Some(7)]);
        assert_eq!(["", "MiB", "1KiB", "18446744073709551615TiB"].map(size), [None; 4]);
    }
}
