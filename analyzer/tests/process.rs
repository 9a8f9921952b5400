//! The analyzer as a process: how it starts, what it refuses, how it ends.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const PROTOBUF: &str = "content-type: application/x-protobuf";

/// A running analyzer; it is killed when the test is over.
struct Analyzer {
    child: Child,
    addresses: serde_json::Value,
}

fn command(dir: &Path) -> Command {
    command_on(&dir.join("data"), dir)
}

fn command_on(data: &Path, dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_raceway-analyzer"));
    // Whoever runs the tests may have settings of his own.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("RACEWAY_")) {
        command.env_remove(name);
    }
    let free = "127.0.0.1:0";
    command.arg("--data-dir").arg(data).arg("--ready-file").arg(dir.join("ready"));
    command.args(["--listen", free, "--otlp-grpc", free, "--otlp-http", free]).stderr(Stdio::piped());
    command
}

impl Analyzer {
    fn start(dir: &Path) -> Self {
        Self::spawn(dir, &mut command(dir))
    }

    fn spawn(dir: &Path, command: &mut Command) -> Self {
        let ready = dir.join("ready");
        let _ = std::fs::remove_file(&ready);
        let mut child = command.spawn().unwrap();
        let began = Instant::now();
        let addresses = loop {
            if let Ok(text) = std::fs::read(&ready) {
                break serde_json::from_slice(&text).unwrap();
            }
            if let Some(status) = child.try_wait().unwrap() {
                let mut said = String::new();
                child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
                panic!("it ended with {status}: {said}");
            }
            assert!(began.elapsed() < Duration::from_secs(60), "not ready within 60 s");
            std::thread::sleep(Duration::from_millis(5));
        };
        Self { child, addresses }
    }

    fn address(&self, name: &str) -> SocketAddr {
        self.addresses[name].as_str().unwrap().parse().unwrap()
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Waits for the end: its code, and what was logged.
    fn end(mut self) -> (Option<i32>, String) {
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        (self.child.wait().unwrap().code(), log)
    }
}

impl Drop for Analyzer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `traces` traces of one span, as OTLP: written by hand, so that nothing stands between the test and the bytes.
fn spans(first: u128, traces: u128) -> Vec<u8> {
    fn field(tag: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![tag];
        let mut length = bytes.len();
        while length >= 0x80 {
            out.push(length as u8 | 0x80);
            length >>= 7;
        }
        out.push(length as u8);
        [out, bytes.to_vec()].concat()
    }
    let span = |id: u128| {
        let start = [&[0x39][..], &1_793_527_200_000_000_000u64.to_le_bytes()].concat();
        let end = [&[0x41][..], &1_793_527_200_000_000_005u64.to_le_bytes()].concat();
        field(0x12, &[field(0x0a, &id.to_be_bytes()), field(0x12, &[1; 8]), start, end].concat())
    };
    field(0x0a, &field(0x12, &(first..first + traces).flat_map(span).collect::<Vec<_>>()))
}

fn open_request(address: SocketAddr, path: &str, length: usize) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: t\r\nconnection: close\r\n{PROTOBUF}\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

fn status(mut stream: TcpStream) -> u16 {
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer.split_whitespace().nth(1).map_or(0, |status| status.parse().unwrap())
}

fn send(address: SocketAddr, body: &[u8]) -> u16 {
    let mut stream = open_request(address, "/v1/traces", body.len());
    stream.write_all(body).unwrap();
    status(stream)
}

/// What is in the folder after the process has ended.
fn kept(dir: &Path) -> u64 {
    use raceway_analyzer::store::SpanStore;
    use raceway_analyzer::store::embedded::{Embedded, Options};
    Embedded::open(&dir.join("data"), Options::default(), &prometheus::Registry::new()).unwrap().totals().spans
}

#[test]
fn it_ends_in_order_and_takes_up_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    for (round, signal) in ["TERM", "INT"].into_iter().enumerate() {
        let analyzer = Analyzer::start(dir.path());
        // One request is half sent when the signal comes, and still gets its answer.
        let body = spans(1_000 * round as u128 + 1, 10);
        let (first, second) = body.split_at(20);
        let mut open = open_request(analyzer.address("otlp_http"), "/v1/traces", body.len());
        open.write_all(first).unwrap();
        assert_eq!(send(analyzer.address("otlp_http"), &spans(1_000 * round as u128 + 101, 5)), 200);
        analyzer.signal(signal);
        let address = analyzer.address("otlp_http");
        let began = Instant::now();
        while TcpStream::connect(address).is_ok() {
            assert!(began.elapsed() < Duration::from_secs(10), "it still takes connections");
            std::thread::sleep(Duration::from_millis(5));
        }
        open.write_all(second).unwrap();
        assert_eq!(status(open), 200);
        let (code, log) = analyzer.end();
        assert_eq!(code, Some(0), "{log}");
        assert!(log.contains("stopped"), "{log}");
        assert_eq!(kept(dir.path()), 15 * (round as u64 + 1));
    }
}

#[test]
fn a_sender_that_never_finishes_does_not_keep_it_from_ending() {
    let dir = tempfile::tempdir().unwrap();
    let analyzer = Analyzer::start(dir.path());
    let _idle = TcpStream::connect(analyzer.address("listen")).unwrap();
    let _half = open_request(analyzer.address("otlp_http"), "/v1/traces", 100);
    assert_eq!(send(analyzer.address("otlp_http"), &spans(1, 1)), 200);
    analyzer.signal("TERM");
    let began = Instant::now();
    let (code, log) = analyzer.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert!(log.contains("abandoned"), "{log}");
}

#[test]
fn nothing_acknowledged_is_lost_by_a_kill_under_load() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for round in 0..3u128 {
        let analyzer = Analyzer::start(dir.path());
        let address = analyzer.address("otlp_http");
        let senders: Vec<_> = (0..4u128)
            .map(|sender| {
                std::thread::spawn(move || {
                    let mut acknowledged = 0;
                    for n in 0.. {
                        let Ok(stream) = TcpStream::connect(address) else { break };
                        drop(stream);
                        let first = (round << 96 | sender << 64 | n << 8) + 1;
                        let sent = std::panic::catch_unwind(|| send(address, &spans(first, 50)));
                        match sent {
                            Ok(200) => acknowledged += 50,
                            _ => break,
                        }
                    }
                    acknowledged
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(400 + 300 * round as u64));
        analyzer.signal("KILL");
        acknowledged += senders.into_iter().map(|sender| sender.join().unwrap()).sum::<u64>();
        drop(analyzer);
        let kept = kept(dir.path());
        assert!(kept >= acknowledged, "{kept} kept of {acknowledged} acknowledged, round {round}");
    }
    assert!(acknowledged > 0);
}

fn refused(command: &mut Command) -> Vec<String> {
    let Output { status, stderr, stdout } = command.stdout(Stdio::piped()).output().unwrap();
    let said = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(2), "{said}");
    assert!(stdout.is_empty());
    said.lines().map(str::to_owned).collect()
}

#[test]
fn what_it_cannot_do_it_says_in_one_line_and_ends_with_2() {
    let dir = tempfile::tempdir().unwrap();
    let expect = |command: &mut Command, parts: &[&str]| {
        let lines = refused(command);
        assert_eq!(lines.len(), 1, "{lines:?}");
        for part in parts {
            assert!(lines[0].contains(part), "{part:?} in {lines:?}");
        }
    };
    expect(command(dir.path()).arg("--no-such-flag"), &["--no-such-flag", "--help"]);
    expect(command(dir.path()).args(["--log-format", "xml"]), &["xml", "json"]);
    expect(command(dir.path()).env("RACEWAY_RETENTION_AGE", "soon"), &["soon", "7d"]);
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    expect(&mut command_on(&file, dir.path()), &["--data-dir", "not a folder"]);
    expect(&mut command_on(dir.path(), dir.path()), &["--data-dir", "holds other files (file)", "empty folder"]);
    expect(&mut command_on(Path::new("/proc/no/such"), dir.path()), &["--data-dir", "cannot be written"]);
}

#[test]
fn a_port_or_a_folder_that_is_taken_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let first = Analyzer::start(dir.path());
    let lines = refused(&mut command(dir.path()));
    assert!(lines.len() == 1 && lines[0].contains("in use by another process"), "{lines:?}");

    let other = tempfile::tempdir().unwrap();
    let taken = [first.address("listen").to_string(), first.address("otlp_grpc").to_string()];
    let mut command = Command::new(env!("CARGO_BIN_EXE_raceway-analyzer"));
    command.arg("--data-dir").arg(other.path()).args(["--otlp-http", "127.0.0.1:0"]);
    command.args(["--listen", &taken[0], "--otlp-grpc", &taken[1]]);
    let lines = refused(&mut command);
    assert_eq!(lines.len(), 2, "both are told: {lines:?}");
    assert!(
        lines[0].contains("--listen") && lines[1].contains("--otlp-grpc") && lines[1].contains("in use"),
        "{lines:?}"
    );
}

#[test]
fn settings_come_from_the_environment_too() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_raceway-analyzer"));
    for name in ["LISTEN", "OTLP_GRPC", "OTLP_HTTP"] {
        command.env(format!("RACEWAY_{name}"), "localhost:0");
    }
    command.env("RACEWAY_DATA_DIR", dir.path().join("data")).env("RACEWAY_READY_FILE", dir.path().join("ready"));
    command.env("RACEWAY_LOG_FORMAT", "json").stderr(Stdio::piped());
    let analyzer = Analyzer::spawn(dir.path(), &mut command);
    let listen = analyzer.address("listen").to_string();
    analyzer.signal("TERM");
    let (code, log) = analyzer.end();
    assert_eq!(code, Some(0));
    let ready = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let ready = ready.into_iter().find(|line| line["fields"]["message"] == "ready").unwrap();
    assert_eq!(ready["fields"]["listen"], listen, "the bound address is logged");
}
