//! The same conversations between two hosts whose connections are redirected: neither side knows of a sidecar.

use std::net::SocketAddr;

use raceway_tests::netns::{Namespace, Sidecar, World};
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::http1::rows;
use super::http2::{Players, compare};
use super::script::play;
use crate::intercept::has;

/// Nobody listens there: what is recorded is no matter here.
const NO_ANALYZER: ([u8; 4], u16) = ([127, 0, 0, 1], 9);

async fn redirect(host: &Namespace, backend: &str, source: &str, folder: &TempDir) -> Sidecar {
    let source = format!("--inbound-source {source}");
    let sidecar = host.sidecar(SocketAddr::from(NO_ANALYZER), &source, folder.path()).await;
    let (code, said) = host.intercept(&format!("install --backend {backend} {source}"));
    assert_eq!(code, Some(0), "{said}");
    sidecar
}

/// The same over HTTP/2: with the caller's sidecar, and with both.
#[tokio::test]
async fn streams_are_the_same_between_hosts() {
    if !has(&["nft"]) {
        return;
    }
    let Some(world) = World::new() else { return };
    let Some(players) = Players::new("10.99.0.2") else { return };
    world.inside.enter().expect("it was left a moment ago");
    let folder = tempfile::Builder::new().prefix("raceway-test-").tempdir().expect("a temporary folder");
    let alone = players.alone(&[]).await;
    let mut wrong = Vec::new();
    let of_caller = redirect(&world.inside, "nft", "own", &folder).await;
    compare("the caller's", &alone, &players.play(players.address(), &[]).await, &mut wrong);
    let of_app = redirect(&world.outside, "nft", "own", &folder).await;
    compare("both", &alone, &players.play(players.address(), &[]).await, &mut wrong);
    for (sidecar, direction) in [(&of_caller, "outbound"), (&of_app, "inbound")] {
        assert!(sidecar.count(&["requests_total", direction]).await > 100.0, "{direction} is passed by");
    }
    of_app.stop().await;
    of_caller.stop().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// An application outside, a caller inside; no sidecar, the caller's, both, the application's.
async fn same_between_hosts(address: &str, backend: &str, source: &str) {
    if !has(&[backend]) {
        return;
    }
    let Some(world) = World::new() else { return };
    let listener = TcpListener::bind((address, 0)).await.expect("a free port");
    let door = listener.local_addr().expect("a bound listener has an address");
    world.inside.enter().expect("it was left a moment ago");
    let folder = tempfile::Builder::new().prefix("raceway-test-").tempdir().expect("a temporary folder");
    let (mut of_caller, mut of_app) = (None, None);
    let mut wrong = Vec::new();
    for where_to in ["no sidecar", "the caller's", "both", "the application's"] {
        match where_to {
            "the caller's" => of_caller = Some(redirect(&world.inside, backend, source, &folder).await),
            "both" => of_app = Some(redirect(&world.outside, backend, source, &folder).await),
            "the application's" => {
                assert_eq!(world.inside.intercept("remove").0, Some(0));
                stop(of_caller.take()).await;
            }
            _ => {}
        }
        let sidecars = usize::from(of_caller.is_some()) + usize::from(of_app.is_some());
        for (name, steps) in rows() {
            if let Err(what) = play(&steps, door, &listener, sidecars).await {
                wrong.push(format!("{name}, {where_to}: {what}"));
            }
        }
        for (sidecar, direction) in [(&of_caller, "outbound"), (&of_app, "inbound")] {
            if let Some(sidecar) = sidecar {
                assert!(
                    sidecar.count(&["connections_accepted_total", direction]).await > 1.0,
                    "{where_to} is passed by"
                );
            }
        }
    }
    stop(of_app).await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

async fn stop(sidecar: Option<Sidecar>) {
    if let Some(sidecar) = sidecar {
        sidecar.stop().await;
    }
}

#[tokio::test]
async fn conversations_are_the_same_between_hosts() {
    same_between_hosts("10.99.0.2", "nft", "own").await;
}

#[tokio::test]
async fn conversations_are_the_same_between_hosts_by_ipv6() {
    same_between_hosts("fd99::2", "iptables", "own").await;
}

#[tokio::test]
async fn conversations_are_the_same_where_callers_are_kept() {
    same_between_hosts("10.99.0.2", "iptables", "caller").await;
}

#[tokio::test]
async fn conversations_are_the_same_where_callers_are_kept_by_ipv6() {
    same_between_hosts("fd99::2", "nft", "caller").await;
}
