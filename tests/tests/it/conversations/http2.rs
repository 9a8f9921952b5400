//! HTTP/2, scripted on both sides: every row of `fixtures/talk/h2_rows.py`, `h2_endings.py` and `h2_windows.py` is played without a
//! sidecar, and what both ends heard then is what they must hear with sidecars between. In `h2_limits.py` is what they
//! do not hear, and here what they hear instead.
//!
//! Both ends are made of Python's hyper-h2, which shows fields, trailers, ends, and resets with their codes.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use raceway_tests::Chain;
use raceway_tls::testing::Authority;
use serde::Deserialize;
use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

use super::peers::{FIXTURES, folder, python};

/// For all rows, on a busy machine.
const TABLE: Duration = Duration::from_secs(240);

/// What a sidecar's library does not pass on: the row, what it hears alone, and what it hears instead.
const LIMITS: [(&str, &str, &str); 5] = [
    ("limit_fields_that_must_not_be_indexed", r#""secret","never indexed""#, r#""secret"]"#),
    ("limit_order_of_names", r#""x-a","x-b","x-a""#, r#""x-a","x-a","x-b""#),
    ("limit_characters_of_targets", r#""refused","","changed","""#, r##""refused","<>`","changed","#""##),
    ("limit_words_of_a_goodbye", r#""goaway",11,"too_many_pings""#, r#""goaway",11,"""#),
    ("limit_answers_that_are_pushed", r#""may push",true"#, r#""may push",false"#),
];

/// How a row went.
#[derive(Debug, Deserialize, PartialEq)]
pub(super) struct Played {
    name: String,
    went: String,
    heard: Value,
}

/// An application that accepts here, and the Python that plays it and its callers.
pub(super) struct Players {
    listener: TcpListener,
    python: std::path::PathBuf,
}

impl Players {
    pub(super) fn new(host: &str) -> Option<Self> {
        let listener = TcpListener::bind((host, 0)).expect("a free port");
        Some(Self { listener, python: python()? })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("a bound listener has an address")
    }

    /// All rows, through a door that leads to the application.
    pub(super) async fn play(&self, door: SocketAddr, args: &[String]) -> Vec<Played> {
        let listener = OwnedFd::from(self.listener.try_clone().expect("a descriptor"));
        let mut script = Command::new(&self.python);
        script.arg(format!("{FIXTURES}/talk/h2_play.py")).arg("--door").arg(door.to_string()).args(args);
        let playing = script.stdin(Stdio::from(listener)).kill_on_drop(true).output();
        let output = timeout(TABLE, playing).await.expect("the rows are played in time").expect("it starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let lines = String::from_utf8_lossy(&output.stdout).into_owned();
        lines.lines().map(|line| serde_json::from_str(line).expect("a row")).collect()
    }

    /// All rows without a sidecar.
    pub(super) async fn alone(&self, args: &[String]) -> Vec<Played> {
        let rows = self.play(self.address(), args).await;
        assert!(rows.len() > 40, "{} rows", rows.len());
        for row in &rows {
            assert_eq!(row.went, "well", "without a sidecar: {row:?}");
        }
        rows
    }
}

/// Notes where a run differs from the one without a sidecar.
pub(super) fn compare(way: &str, alone: &[Played], through: &[Played], wrong: &mut Vec<String>) {
    assert_eq!(alone.len(), through.len(), "{way}: rows are missing");
    for (alone, through) in alone.iter().zip(through) {
        let same = match LIMITS.iter().find(|limit| limit.0 == alone.name) {
            None => alone == through,
            Some((_, said, heard)) => {
                assert!(alone.heard.to_string().contains(said), "{alone:?}");
                through.went == "well" && through.heard.to_string().contains(heard)
            }
        };
        if !same {
            wrong.push(format!(
                "{}, {way}: {}\n  {}\n  and not {}",
                alone.name, through.went, through.heard, alone.heard
            ));
        }
    }
}

#[tokio::test]
async fn streams_pass_as_they_are() {
    let Some(players) = Players::new("127.0.0.1") else { return };
    let (address, mut wrong) = (players.address(), Vec::new());
    let alone = players.alone(&[]).await;
    for sidecars in 1..=2 {
        let chain = Chain::before(address, sidecars).await;
        let through = players.play(chain.door(), &[]).await;
        compare(&format!("through {sidecars} sidecars"), &alone, &through, &mut wrong);
        chain.stop().await;
    }
    let chain = Chain::with(address, 1, &[&format!("--route=127.0.0.1:0={address}")]).await;
    let route = chain.outermost().routes()[0];
    compare("by a route", &alone, &players.play(route, &[]).await, &mut wrong);
    chain.stop().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[tokio::test]
async fn streams_over_tls_pass_as_they_are() {
    let Some(players) = Players::new("127.0.0.1") else { return };
    let (address, folder, authority) = (players.address(), folder(), Authority::new("ours"));
    let ca = authority.write(folder.path(), "ca");
    let (certificate, key) = authority.issue(&["localhost"]).write(folder.path(), "app");
    let flag = |name: &str, path: &Path| format!("--{name}={}", path.display());
    let of_app = [flag("app-cert", &certificate), flag("app-key", &key)];
    let of_caller = [flag("caller-ca", &ca)];
    let mut wrong = Vec::new();
    let alone = players.alone(&[&of_app[..], &of_caller].concat()).await;

    // The caller's side of TLS ends at a sidecar.
    let ends = [
        flag("inbound-tls-cert", &certificate),
        flag("inbound-tls-key", &key),
        format!("--inbound=127.0.0.1:0=h2://{address}"),
    ];
    let ends: Vec<&str> = ends.iter().map(String::as_str).collect();
    let inner = Chain::with(address, 1, &ends).await;
    let door = inner.outermost().all_inbound()[1];
    compare("ended by a sidecar", &alone, &players.play(door, &of_caller).await, &mut wrong);

    // The application's side begins at one; then both, between two sidecars only.
    let begins = [
        flag("upstream-ca", &ca),
        format!("--route=127.0.0.1:0=app@https://localhost:{}", address.port()),
        format!("--route=127.0.0.1:0=app@https://localhost:{}", door.port()),
    ];
    let begins: Vec<&str> = begins.iter().map(String::as_str).collect();
    let outer = Chain::with(address, 1, &begins).await;
    let to_app = outer.outermost().routes()[0];
    let to_sidecar = outer.outermost().routes()[1];
    compare("begun by a sidecar", &alone, &players.play(to_app, &of_app).await, &mut wrong);
    compare("between two sidecars", &alone, &players.play(to_sidecar, &[]).await, &mut wrong);
    outer.stop().await;
    inner.stop().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
