//! What an operator does to a running sidecar: look, change its log, stop it, and leave it few descriptors.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use raceway_tests::{PATIENCE, Stack, http, program};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

/// A command that is not disturbed by settings of whoever runs the tests.
fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    // Stdin is held open: its end is how a sidecar learns that its parent is gone.
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    for (key, _) in std::env::vars_os() {
        if key.to_str().is_some_and(|key| key.starts_with("RACEWAY_") || key.starts_with("OTEL_")) {
            command.env_remove(key);
        }
    }
    command
}

/// `raceway-proxy` with these words: its exit code, and what it said.
pub(crate) async fn operator(words: &str) -> (Option<i32>, String) {
    let mut child = command(program()).arg("__proxy").args(words.split(' ')).spawn().expect("it starts");
    let stdin = child.stdin.take();
    let output = timeout(PATIENCE, child.wait_with_output()).await.expect("it ends").expect("it ended");
    drop(stdin);
    (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

/// The addresses in a ready-file, once it is there.
async fn addresses(file: &Path) -> Value {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Ok(text) = std::fs::read(file) {
            return serde_json::from_slice(&text).expect("it is written whole");
        }
        assert!(Instant::now() < until, "it does not listen");
        sleep(Duration::from_millis(5)).await;
    }
}

fn address(value: &Value) -> SocketAddr {
    value.as_str().and_then(|text| text.parse().ok()).expect("an address")
}

async fn ended(mut child: Child) -> (Option<i32>, String) {
    let stdin = child.stdin.take();
    let output = timeout(PATIENCE, child.wait_with_output()).await.expect("it ends").expect("it ended");
    drop(stdin);
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[tokio::test]
async fn the_control_socket_shows_edges_and_settings_and_changes_the_log() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("control.sock");
    let stack =
        Stack::of(["orders -> payment"]).flag("orders", &format!("--control={}", socket.display())).start().await;
    for _ in 0..5 {
        stack.get("/orders/1").await;
    }
    stack.settle().await;
    let ask = async |words: &str| operator(&format!("{words} --control {}", socket.display())).await;
    let (code, said) = ask("edges").await;
    let edges: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
    assert_eq!((code, &edges["from"], &edges["edges"][0]["to"]), (Some(0), &"orders".into(), &"payment".into()));
    assert_eq!((&edges["edges"][0]["calls"], &edges["edges"][0]["errors"]), (&5.into(), &0.into()), "{said}");
    let (code, said) = ask("config").await;
    let config: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
    assert_eq!((code, &config["identity"]["service"]), (Some(0), &"orders".into()));

    assert!(!stack.sidecar("orders").log().contains("DEBUG"));
    assert_eq!(ask("log-level debug").await, (Some(0), "the log level is debug\n".to_owned()));
    // Something to tell at that level: a connection to the admin listener that speaks no HTTP.
    let mut stream = TcpStream::connect(stack.sidecar("orders").admin()).await.expect("it listens");
    stream.write_all(b"\0\0\0\0\r\n\r\n").await.expect("open");
    let until = Instant::now() + PATIENCE;
    while !stack.sidecar("orders").log().contains("DEBUG") {
        assert!(Instant::now() < until, "nothing at debug: {}", stack.sidecar("orders").log());
        sleep(Duration::from_millis(5)).await;
    }
    let (code, said) = ask("log-level loud").await;
    assert_eq!(code, Some(2), "{said}");
    // The network face has none of it.
    for path in ["/config", "/edges", "/log-level", "/quit"] {
        assert_eq!(http::get(stack.sidecar("orders").admin(), path, &[]).await.status, 404, "{path}");
    }
    stack.stop().await;
}

#[tokio::test]
async fn quit_ends_a_sidecar_as_sigterm_does() {
    let folder = tempfile::tempdir().expect("a folder");
    let (socket, ready) = (folder.path().join("control.sock"), folder.path().join("ready.json"));
    let flags = format!(
        "__proxy --service job --outbound 127.0.0.1:0 --admin off --analyzer http://127.0.0.1:1 --control {} \
         --ready-file {}",
        socket.display(),
        ready.display()
    );
    // Twice in one place: kill -9 leaves the socket, and the next one takes it over.
    let start = || command(program()).args(flags.split_whitespace()).spawn().expect("it starts");
    let mut killed = start();
    addresses(&ready).await;
    killed.kill().await.expect("it runs");
    std::fs::remove_file(&ready).expect("it was there");
    assert!(socket.exists());
    let child = start();
    addresses(&ready).await;
    let (code, said) = operator(&format!("quit --control {}", socket.display())).await;
    assert_eq!((code, said.as_str()), (Some(0), "stopping: requests in flight are finished first\n"));
    let (code, said) = ended(child).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("quit") && !socket.exists(), "{said}");
    let (code, said) = operator(&format!("quit --control {}", socket.display())).await;
    assert!(code == Some(1) && said.contains("check that a sidecar of yours runs"), "{said}");
}

#[tokio::test]
async fn few_descriptors_are_used_up_to_the_hard_limit_and_running_out_costs_no_core() {
    let folder = tempfile::tempdir().expect("a folder");
    let ready = folder.path().join("ready.json");
    let app = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let target = app.local_addr().expect("bound");
    let serve = tokio::spawn(async move {
        let mut open = tokio::task::JoinSet::new();
        loop {
            let (mut stream, _) = app.accept().await.expect("a connection");
            open.spawn(async move {
                let mut request = [0; 4096];
                while stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
                }
            });
        }
    });
    let flags = format!(
        "__proxy --service few --inbound 127.0.0.1:0={target} --admin 127.0.0.1:0 --analyzer http://127.0.0.1:1 \
         --ready-file {}",
        ready.display()
    );
    let script = "ulimit -Sn 32; ulimit -Hn 96; exec \"$0\" \"$@\"";
    let child = command("sh").args(["-c", script]).arg(program()).args(flags.split_whitespace()).spawn();
    let child = child.expect("there is a shell");
    let bound = addresses(&ready).await;
    let (door, admin) = (address(&bound["inbound"][0]), address(&bound["admin"]));
    let process = format!("/proc/{}", child.id().expect("it runs"));
    let limits = std::fs::read_to_string(format!("{process}/limits")).expect("it runs");
    let files: Vec<&str> =
        limits.lines().find(|line| line.starts_with("Max open files")).expect("listed").split_whitespace().collect();
    assert_eq!(files[3..5], ["96", "96"], "soft is raised to hard");

    let spent = || -> u64 {
        let stat = std::fs::read_to_string(format!("{process}/stat")).expect("it runs");
        let fields: Vec<&str> = stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
        fields[11..13].iter().map(|ticks| ticks.parse::<u64>().expect("a number")).sum()
    };
    let (before, began) = (spent(), Instant::now());
    let mut clients = Vec::new();
    for _ in 0..150 {
        clients.push(TcpStream::connect(door).await.expect("the kernel takes it"));
    }
    let failed = async || {
        let text = http::get(admin, "/metrics", &[]).await.text();
        let line = text.lines().find(|line| line.contains(r#"accept_errors_total{reason="file_limit"}"#));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).unwrap_or(0.0)
    };
    let until = Instant::now() + PATIENCE;
    while failed().await == 0.0 {
        assert!(Instant::now() < until, "it never ran out");
        sleep(Duration::from_millis(20)).await;
    }
    // Ticks are hundredths of a second. A loop that spins takes all of them; debug builds take some for the clients.
    let (spent, passed) = (spent() - before, began.elapsed().as_millis() as u64 / 10);
    assert!(spent < passed / 2 + 40, "{spent} of {passed} ticks spent");
    drop(clients);
    let until = Instant::now() + PATIENCE;
    loop {
        let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        if http::try_send(door, request).await.is_some_and(|answer| answer.status == 200) {
            break;
        }
        assert!(Instant::now() < until, "it serves no more");
        sleep(Duration::from_millis(20)).await;
    }
    serve.abort();
    let pid = rustix::process::Pid::from_raw(child.id().expect("it runs") as i32).expect("not 0");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
    let (code, said) = ended(child).await;
    assert!(code == Some(0) && said.contains("cannot accept connections"), "{code:?} {said}");
}
