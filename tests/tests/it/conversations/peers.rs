//! Conversations of real clients with real servers: what the client says came must be the same through sidecars.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use raceway_cli::child::{Child, Stdout};
use raceway_tests::{Chain, PATIENCE, program, skip};
use serde::Deserialize;
use tokio::process::Command;
use tokio::time::timeout;

pub(super) const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures");

/// What a server says when it listens.
#[derive(Deserialize)]
struct Ready {
    listen: SocketAddr,
}

/// The Python that has what peers and applications need: `.ci/run` makes it, in the target folder.
pub(crate) fn python() -> Option<PathBuf> {
    let target = program().parent()?.parent()?.to_owned();
    let python = target.join("test-venv/bin/python");
    if python.exists() {
        return Some(python);
    }
    skip(&format!("{} is not there; .ci/run makes it, and tells the packages", python.display()));
    None
}

pub(crate) fn installed(program: &str) -> bool {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).exists()));
    if !found {
        skip(&format!("{program} is not installed"));
    }
    found
}

/// Runs a client to its end; what it wrote.
pub(super) async fn said(command: &Path, args: &[String]) -> String {
    let mut client = Command::new(command);
    client.args(args).kill_on_drop(true);
    let output = timeout(PATIENCE, client.output()).await.expect("the client ends in time").expect("it starts");
    format!(
        "{}{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
        if output.status.success() { String::new() } else { format!("ended with {}", output.status) }
    )
}

/// Runs a client against a server directly, through one sidecar, and through two.
pub(super) async fn same(server: SocketAddr, client: impl AsyncFn(SocketAddr) -> String) -> String {
    let alone = client(server).await;
    for sidecars in 1..=2 {
        let chain = Chain::before(server, sidecars).await;
        let door = chain.door();
        let through = client(door).await.replace(&door.to_string(), &server.to_string());
        assert_eq!(through, alone, "through {sidecars} sidecars");
        chain.stop().await;
    }
    alone
}

/// Starts a server that says where it listens.
pub(super) async fn serve(command: &Path, args: &[&str], folder: &Path) -> (Child, SocketAddr) {
    let mut child =
        Child::start(command, args, "server", folder, Stdout::Log).unwrap_or_else(|error| panic!("{error}"));
    let ready: Ready = child.ready().await.unwrap_or_else(|error| panic!("{error}"));
    (child, ready.listen)
}

pub(super) fn folder() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("raceway-test-").tempdir().expect("a temporary folder")
}

async fn python_peers(script: &str) -> Option<String> {
    let python = python()?;
    let script = format!("{FIXTURES}/talk/{script}");
    let folder = folder();
    let (server, address) = serve(&python, &[&script, "serve"], folder.path()).await;
    let heard =
        same(address, async |to| said(&python, &[script.clone(), "call".to_owned(), to.to_string()]).await).await;
    server.kill().await;
    Some(heard)
}

#[tokio::test]
async fn grpc_in_all_kinds_and_endings() {
    let Some(heard) = python_peers("grpc_peers.py").await else { return };
    // What is compared is what should be compared.
    for expected in
        ["deadline StatusCode.DEADLINE_EXCEEDED", "cancel StatusCode.CANCELLED", "trailers only StatusCode.FAILED"]
    {
        assert!(heard.contains(expected), "{expected} in {heard}");
    }
    assert_eq!(heard.lines().count(), 16, "{heard}");
}

#[tokio::test]
async fn grpc_to_an_application_that_is_down_is_unavailable() {
    let Some(python) = python() else { return };
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = nobody.local_addr().expect("a bound listener has an address");
    drop(nobody);
    let chain = Chain::before(address, 1).await;
    let script = format!("{FIXTURES}/talk/grpc_peers.py");
    let heard = said(&python, &[script, "call".to_owned(), chain.door().to_string()]).await;
    assert!(heard.starts_with("unary StatusCode.UNAVAILABLE connecting to "), "{heard}");
    chain.outermost().metric_reaches("upstream_failures_total", &["reason=\"unreachable\""], 1.0).await;
    chain.stop().await;
}

#[tokio::test]
async fn websockets_with_everything_they_have() {
    let Some(heard) = python_peers("websocket_peers.py").await else { return };
    assert!(heard.contains("3000 enough") && heard.contains("4001") && heard.contains("1006"), "{heard}");
}

/// `curl -i`, without what differs from one second to the next.
pub(super) async fn curl(to: SocketAddr, args: &[&str], path: &str) -> String {
    let mut words: Vec<String> = ["-sS", "-i", "--max-time", "20"].map(str::to_owned).to_vec();
    words.extend(args.iter().map(|word| (*word).to_owned()));
    words.push(format!("http://{to}{path}"));
    let answer = said(Path::new("curl"), &words).await;
    let lines = answer.split_inclusive('\n').filter(|line| !line.to_ascii_lowercase().starts_with("date:"));
    lines
        .filter(|line| !line.to_ascii_lowercase().starts_with("x-raceway-") && !line.starts_with("raceway-clock:"))
        .collect()
}

/// What curl hears from a Python application; it must be 200 each time.
async fn curl_with(script: &str, more: &[(&[&str], &str)]) {
    let Some(python) = python() else { return };
    if !installed("curl") {
        return;
    }
    let folder = folder();
    let script = format!("{FIXTURES}/talk/{script}");
    let (server, address) = serve(&python, &[&script, "serve"], folder.path()).await;
    let large = folder.path().join("large");
    std::fs::write(&large, vec![b'x'; 3_000_000]).expect("there is room");
    let upload = format!("@{}", large.display());
    let table: [(&[&str], &str); 12] = [
        (&[], "/a%20b?x=y#z"),
        (&["-H", "X-Odd:  a  b ", "-H", "x-odd: c", "-A", "me"], "/"),
        (&["-0"], "/old"),
        (&["--head"], "/head"),
        (&["-X", "OPTIONS"], "/*"),
        (&["-X", "PROPFIND", "-d", ""], "/empty"),
        (&["--data-binary", &upload], "/large"),
        (&["-T", large.to_str().expect("text"), "-H", "Transfer-Encoding: chunked"], "/chunked"),
        (&["-d", "a=b", "-H", "Expect: 100-continue"], "/expect"),
        (&["-N"], "/stream"),
        (&["-0", "-N"], "/stream"),
        (&["--compressed"], "/zip"),
    ];
    for (args, path) in table.iter().chain(more) {
        let heard = same(address, async |to| curl(to, args, path).await).await;
        assert!(heard.contains(" 200 OK\r\n"), "{args:?} {path}: {heard}");
    }
    // An offer of HTTP/2 is not passed on; what comes is an answer all the same.
    let chain = Chain::before(address, 1).await;
    let heard = curl(chain.door(), &["--http2"], "/offer").await;
    assert!(heard.starts_with("HTTP/1.1 200 OK\r\n") && !heard.contains("h2c"), "{heard}");
    chain.stop().await;
    server.kill().await;
}

#[tokio::test]
async fn curl_with_aiohttp() {
    curl_with("aiohttp_peers.py", &[]).await;
}

#[tokio::test]
async fn curl_with_asyncio_by_hand() {
    curl_with("asyncio_peers.py", &[(&[], "/close"), (&["-0"], "/close"), (&["-d", "a=b"], "/close")]).await;
}

/// A port that nobody has, for servers that cannot choose one themselves.
pub(super) fn free_port() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("a bound listener has an address")
}

/// Starts a server that does not say when it listens, and waits until it does.
pub(super) async fn start(mut command: Command, address: SocketAddr) -> tokio::process::Child {
    use std::process::Stdio;
    let server = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let server = server.spawn().expect("it starts");
    let listens = async {
        while tokio::net::TcpStream::connect(address).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, listens).await.expect("it listens in time");
    server
}

#[tokio::test]
async fn redis_through_a_tunnel() {
    if !installed("redis-server") || !installed("redis-cli") {
        return;
    }
    let (folder, address) = (folder(), free_port());
    let mut command = Command::new("redis-server");
    command
        .args(["--bind", "127.0.0.1", "--save", "", "--port", &address.port().to_string()])
        .current_dir(folder.path());
    let mut server = start(command, address).await;
    let heard = same(address, async |to| {
        let port = to.port().to_string();
        let words = ["-h", "127.0.0.1", "-p", &port, "EVAL"];
        let script =
            "redis.call('SET','k',string.rep('x',100000)) return {redis.call('STRLEN','k'), redis.call('PING')}";
        let words: Vec<String> = words.into_iter().chain([script, "0"]).map(str::to_owned).collect();
        said(Path::new("redis-cli"), &words).await
    })
    .await;
    assert!(heard.contains("100000") && heard.contains("PONG"), "{heard}");
    server.kill().await.expect("it ends");
}

#[tokio::test]
async fn mariadb_speaks_first_through_a_tunnel() {
    if !installed("mariadbd") || !installed("mariadb") || !installed("mariadb-install-db") {
        return;
    }
    let (folder, address) = (folder(), free_port());
    let data = format!("--datadir={}", folder.path().join("data").display());
    let user = "--user=root".to_owned();
    let made =
        ["--no-defaults".to_owned(), data.clone(), user.clone(), "--auth-root-authentication-method=normal".to_owned()];
    said(Path::new("mariadb-install-db"), &made).await;
    let mut command = Command::new("mariadbd");
    command.args(["--no-defaults", &data, &user, "--bind-address=127.0.0.1", "--skip-name-resolve"]);
    command.arg(format!("--port={}", address.port())).arg(format!("--socket={}", folder.path().join("s").display()));
    let mut server = start(command, address).await;
    let heard = same(address, async |to| {
        let port = format!("--port={}", to.port());
        let words = ["--no-defaults", "--protocol=tcp", "-h127.0.0.1", "-uroot", "--skip-ssl", &port, "-e"];
        let words = words.into_iter().chain(["SELECT 6*7, LENGTH(REPEAT('x', 1000000))"]).map(str::to_owned);
        said(Path::new("mariadb"), &words.collect::<Vec<_>>()).await
    })
    .await;
    assert!(heard.contains("42") && heard.contains("1000000"), "{heard}");
    server.kill().await.expect("it ends");
}
