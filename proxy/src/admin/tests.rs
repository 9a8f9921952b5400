use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::SystemTime;

use clap::Parser;

use super::client::{Failed, Reach, ask};
use super::*;
use crate::config::Args;

struct Started {
    admin: Admin,
    parts: Parts,
}

fn try_start(flags: &str) -> Result<Started, String> {
    let args = format!("raceway-proxy --service orders --outbound 127.0.0.1:0 --admin 127.0.0.1:0 {flags}");
    let args = Args::try_parse_from(args.split_whitespace()).expect("usable");
    let config = Config::check(args, &|_| None).expect("valid");
    let edges = Edges::new(SystemTime::now());
    let parts = Parts { metrics: Arc::new(Metrics::new()), drain: Drain::new(), edges, quit: Arc::new(Notify::new()) };
    Ok(Started { admin: Admin::start(&config, parts.clone())?, parts })
}

fn start(flags: &str) -> Started {
    try_start(flags).expect("free")
}

impl Started {
    fn port(&self) -> u16 {
        self.admin.address().expect("--admin was given").port()
    }

    fn send(&self, request: &str) -> String {
        say(TcpStream::connect(("127.0.0.1", self.port())).expect("it listens"), request)
    }

    fn get(&self, path: &str) -> String {
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: localhost:1\r\n\r\n"))
    }
}

fn say(mut stream: impl Read + Write, request: &str) -> String {
    stream.write_all(request.as_bytes()).expect("open");
    let mut answer = String::new();
    // An early close of what was too large may come as a reset.
    let _ = stream.read_to_string(&mut answer);
    answer
}

#[test]
fn probes_tell_the_state() {
    let started = start("");
    assert!(started.get("/live").starts_with("HTTP/1.1 200 OK\r\n"));
    assert!(started.get("/ready").contains("HTTP/1.1 503") && started.get("/ready").ends_with("starting\n"));
    started.admin.ready();
    assert!(started.get("/ready").contains("HTTP/1.1 200") && started.get("/ready").ends_with("ready\n"));
    started.parts.drain.begin();
    assert!(started.get("/ready").contains("HTTP/1.1 503") && started.get("/ready").ends_with("stopping\n"));
    assert!(started.get("/live").contains("HTTP/1.1 200"));
}

#[test]
fn metrics_are_served() {
    let answer = start("").get("/metrics");
    assert!(answer.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{answer}");
    assert!(answer.contains("\nraceway_proxy_build_info{version="), "{answer}");
}

#[test]
fn named_ports_are_probed_and_no_others() {
    let open = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let (port, other) = (open.local_addr().expect("bound").port(), 1);
    let started = start(&format!("--probe-port {port}"));
    let probe = |port: u16| started.get(&format!("/probe/tcp/{port}"));
    assert!(probe(port).starts_with("HTTP/1.1 200"), "{}", probe(port));
    assert!(probe(other).starts_with("HTTP/1.1 404"), "{}", probe(other));
    for path in ["/probe/tcp/", "/probe/tcp/x", "/probe/tcp/99999", "/probe/udp/1"] {
        assert!(started.get(path).starts_with("HTTP/1.1 404"), "{path}");
    }
    drop(open);
    assert!(probe(port).starts_with("HTTP/1.1 503") && probe(port).contains("closed"), "{}", probe(port));
}

#[test]
fn the_network_face_shows_and_does_nothing_else() {
    let started = start("");
    for path in ["/", "/metrics/", "/../metrics", "/ready2", "//config", "/config", "/edges", "/quit", "/log-level"] {
        assert!(started.get(path).starts_with("HTTP/1.1 404"), "{path}");
        let post = started.send(&format!("POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"));
        assert!(post.starts_with("HTTP/1.1 404"), "{path}: {post}");
    }
    let answer = started.send("POST /metrics HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 405") && answer.contains("allow: GET, HEAD\r\n"), "{answer}");
    let large = format!("GET /live HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "y".repeat(64 << 10));
    assert!(!started.send(&large).starts_with("HTTP/1.1 200"));
}

#[test]
fn the_socket_shows_settings_and_edges_and_takes_orders() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("control.sock");
    let started = start(&format!("--control {}", path.display()));
    let reach = Reach { control: path.display().to_string(), control_token_file: None };
    let config = ask(&reach, "GET", "/config", "").expect("an answer");
    let shown: serde_json::Value = serde_json::from_str(&config).expect("JSON");
    assert_eq!(shown.pointer("/identity/service").and_then(|it| it.as_str()), Some("orders"));
    started.parts.edges.calls.record("payment", Duration::from_millis(3), true);
    let edges = ask(&reach, "GET", "/edges", "").expect("an answer");
    let shown: serde_json::Value = serde_json::from_str(&edges).expect("JSON");
    assert_eq!(shown.pointer("/edges/0/errors"), Some(&1.into()), "{edges}");
    let refused = |method: &str, path: &str, body: &str| match ask(&reach, method, path, body) {
        Err(Failed::Asking(told)) => told,
        other => panic!("{path}: {other:?}"),
    };
    assert!(refused("POST", "/log-level", "loud").contains("400: write error, warn"));
    assert!(refused("POST", "/log-level", &"x".repeat(1000)).contains("400"));
    assert!(refused("GET", "/quit", "").contains("405: only POST"));
    assert!(refused("POST", "/config", "").contains("405: only GET"));
    assert!(refused("GET", "/else", "").contains("404: here are /config, /edges"));
    assert_eq!(ask(&reach, "GET", "/live", "").expect("an answer"), "live\n");
    assert!(ask(&reach, "POST", "/quit", "").expect("an answer").starts_with("stopping"));
    ask(&reach, "POST", "/quit", "").expect("asking twice is asking once");
    let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        started.parts.quit.notified().await;
        assert!(timeout(Duration::from_millis(50), started.parts.quit.notified()).await.is_err());
    });
    drop(started);
    assert!(!path.exists());
    assert!(refused("POST", "/quit", "").contains("check that a sidecar of yours runs"));
}

#[test]
fn on_loopback_the_token_and_the_name_count() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    std::fs::write(&file, "0123456789abcdef0123\n").expect("writable");
    let started = start(&format!("--control 127.0.0.1:0 --control-token-file {}", file.display()));
    let address = started.admin.control().expect("on loopback");
    let token_file = Some(file.display().to_string());
    let reach = Reach { control: address.to_string(), control_token_file: token_file.clone() };
    assert!(ask(&reach, "GET", "/config", "").expect("an answer").contains("orders"));
    let good = "authorization: Bearer 0123456789abcdef0123";
    let get = |head: &str| {
        let stream = TcpStream::connect(address).expect("it listens");
        say(stream, &format!("GET /config HTTP/1.1\r\n{head}\r\n\r\n"))
    };
    for host in ["127.0.0.1", "[::1]:80", "LOCALHOST"] {
        assert!(get(&format!("host: {host}\r\n{good}")).starts_with("HTTP/1.1 200"), "{host}");
    }
    for (head, status) in [
        ("host: localhost".to_owned(), "401"),
        ("host: localhost\r\nauthorization: Bearer 0123456789abcdef0124".to_owned(), "401"),
        ("host: localhost\r\nauthorization: Bearer ".to_owned(), "401"),
        ("host: localhost\r\nauthorization: Basic 0123456789abcdef0123".to_owned(), "401"),
        (format!("host: localhost\r\n{good}\r\n{good}"), "401"),
        (format!("host: evil.example\r\n{good}"), "403"),
        (format!("host: localhost.evil.example\r\n{good}"), "403"),
        (format!("host: 10.0.0.1\r\n{good}"), "403"),
        (format!("host: a\r\nhost: localhost\r\n{good}"), "40"),
        (format!("x: y\r\n{good}"), "40"),
    ] {
        let answer = get(&head);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")) && !answer.contains("orders"), "{head}: {answer}");
    }
    std::fs::write(&file, "short").expect("writable");
    let told = try_start(&format!("--control 127.0.0.1:0 --control-token-file {}", file.display())).err();
    assert!(told.is_some_and(|told| told.contains("16 or more")));
    let nobody = Reach { control: "127.0.0.1".to_owned(), control_token_file: token_file };
    assert!(matches!(ask(&nobody, "GET", "/", ""), Err(Failed::Usage(told)) if told.contains("must be a path")));
}

#[test]
fn connections_that_hang_do_not_keep_a_probe_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("control.sock");
    let started = start(&format!("--control {}", path.display()));
    let hanging: Vec<_> = (0..2 * CONNECTIONS_MAX)
        .map(|_| (TcpStream::connect(("127.0.0.1", started.port())), UnixStream::connect(&path)))
        .collect();
    assert!(hanging.iter().all(|(tcp, unix)| tcp.is_ok() && unix.is_ok()));
    assert!(started.get("/live").starts_with("HTTP/1.1 200"));
    let socket = UnixStream::connect(&path).expect("it listens");
    assert!(say(socket, "GET /live HTTP/1.1\r\nhost: a\r\n\r\n").starts_with("HTTP/1.1 200"));
}

#[test]
fn a_taken_port_is_an_error_that_says_what_to_do_and_dropping_frees_it() {
    let first = start("");
    let again = format!("--admin=127.0.0.1:{}", first.port());
    let args = ["raceway-proxy", "--service", "a", "--outbound", "127.0.0.1:0", &again];
    let config = Config::check(Args::try_parse_from(args).expect("usable"), &|_| None).expect("valid");
    let start = || Admin::start(&config, first.parts.clone());
    let told = start().expect_err("taken");
    assert!(told.starts_with("--admin: ") && told.contains("choose another port"), "{told}");
    // Also from within a runtime, which is where the sidecar starts it.
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async { start().expect_err("taken") });
    let parts = first.parts.clone();
    drop(first);
    Admin::start(&config, parts).expect("free again");
}
