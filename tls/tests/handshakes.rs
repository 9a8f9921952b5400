//! Real handshakes over memory: what each side learns, and what it is told when there is none.
#![allow(clippy::indexing_slicing, reason = "in a test a panic is the answer")]

use std::path::PathBuf;

use raceway_tls::testing::{Authority, Issued};
use raceway_tls::{Alpn, Client, ClientFiles, Peer, Reloading, Server, ServerFiles, Trouble};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

struct Scene {
    folder: TempDir,
    ours: Authority,
    others: Authority,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (ours, others) = (Authority::new("ours"), Authority::new("others"));
        ours.write(folder.path(), "ours");
        others.write(folder.path(), "others");
        Self { folder, ours, others }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn server(&self, shows: &Issued, wants: Option<&str>) -> Server {
        let (certificate, key) = shows.write(self.folder.path(), "server");
        let client_ca = wants.map(|name| self.path(name));
        Reloading::load(ServerFiles { certificate, key: Some(key), client_ca }).expect("sound files")
    }

    fn client(&self, trusts: &str, shows: Option<&Issued>) -> Client {
        let (certificate, key) = shows.map(|shows| shows.write(self.folder.path(), "client")).unzip();
        let files = ClientFiles { ca: Some(self.path(trusts)), certificate, key, insecure_skip_verify: false };
        Reloading::load(files).expect("sound files")
    }
}

/// What the two sides end with: each other, or their troubles. The client asks and is answered, so that it hears of
/// what a server says only after the handshake.
async fn shake(client: &Client, alpn: Alpn, host: &str, server: &Server, http2: bool) -> [Result<Peer, Trouble>; 2] {
    let (here, there) = tokio::io::duplex(64 * 1024);
    let asking = async {
        let (mut stream, peer) = client.connect(alpn, host, here).await?;
        let mut answer = [0; 2];
        let asked = async {
            stream.write_all(b"hi").await?;
            stream.read_exact(&mut answer).await
        };
        asked.await.map_err(|error| Trouble::in_error(&error).unwrap_or(Trouble::Broken(error.to_string())))?;
        Ok(peer)
    };
    let answering = async {
        let (mut stream, peer) = server.accept(http2, there).await?;
        let mut question = [0; 2];
        stream.read_exact(&mut question).await.map_err(|error| Trouble::Broken(error.to_string()))?;
        stream.write_all(&question).await.map_err(|error| Trouble::Broken(error.to_string()))?;
        stream.flush().await.map_err(|error| Trouble::Broken(error.to_string()))?;
        Ok(peer)
    };
    let (asked, answered) = tokio::join!(asking, answering);
    [asked, answered]
}

#[tokio::test]
async fn both_sides_learn_who_the_other_is() {
    let scene = Scene::new();
    let server = scene.server(&scene.ours.issue(&["payment", "spiffe://shop/payment"]), Some("others.pem"));
    let client = scene.client("ours.pem", Some(&scene.others.issue(&["spiffe://shop/orders"])));
    let [seen, came] = shake(&client, Alpn::Http1, "payment", &server, false).await.map(|peer| peer.expect("trust"));
    assert_eq!((*seen.names).join(" "), "spiffe://shop/payment payment");
    assert_eq!(seen.version, "1.3");
    assert_eq!(*came.names, ["spiffe://shop/orders"]);
    assert_eq!((came.server_name.as_deref(), came.certificate), (Some("payment"), true));
}

#[tokio::test]
async fn each_flaw_of_a_server_has_its_word() {
    let scene = Scene::new();
    let long = ["payment", "a", "b", "c", "d", "e", "f", "g", "h", "i"];
    for (shows, host, reason, told) in [
        (scene.others.issue(&["payment"]), "payment", "tls_unknown_issuer", "CA bundle"),
        (scene.ours.issue_expired(&["payment"]), "payment", "tls_expired", "3 days ago"),
        (scene.ours.issue_early(&["payment"]), "payment", "tls_not_yet_valid", "clock"),
        (scene.ours.issue(&["payment"]), "orders", "tls_name_mismatch", "only for payment;"),
        (scene.ours.issue(&["payment"]), "127.0.0.1", "tls_name_mismatch", "payment"),
        (scene.ours.issue(&long), "orders", "tls_name_mismatch", "…"),
    ] {
        let (server, client) = (scene.server(&shows, None), scene.client("ours.pem", None));
        let [asked, answered] = shake(&client, Alpn::Any, host, &server, false).await;
        let trouble = asked.expect_err(reason);
        assert!(trouble.reason() == reason && trouble.to_string().contains(told), "{trouble:?}: {trouble}");
        assert!(answered.is_err());
        let anybody = ClientFiles { insecure_skip_verify: true, ..ClientFiles::default() };
        let anybody = Reloading::load(anybody).expect("nothing is read");
        let [asked, _] = shake(&anybody, Alpn::Any, host, &server, false).await;
        asked.expect("whoever checks nothing takes anything");
    }
}

#[tokio::test]
async fn a_server_that_wants_a_certificate_tells_both_sides_what_is_missing() {
    let scene = Scene::new();
    let server = scene.server(&scene.ours.issue(&["payment"]), Some("ours.pem"));
    for (shows, reason) in [
        (None, "tls_no_certificate"),
        (Some(scene.others.issue(&["orders"])), "tls_unknown_issuer"),
        (Some(scene.ours.issue_expired(&["orders"])), "tls_expired"),
    ] {
        let client = scene.client("ours.pem", shows.as_ref());
        let [asked, answered] = shake(&client, Alpn::Http1, "payment", &server, false).await;
        assert_eq!(answered.expect_err(reason).reason(), reason);
        assert_eq!(asked.expect_err(reason).reason(), "tls_client_certificate");
    }
}

#[tokio::test]
async fn the_protocol_inside_is_the_callers_or_none() {
    let scene = Scene::new();
    let (server, client) = (scene.server(&scene.ours.issue(&["payment"]), None), scene.client("ours.pem", None));
    for (asks, spoken, expected) in [
        (Alpn::Http1, true, Ok(())),
        (Alpn::Http2, true, Ok(())),
        (Alpn::Any, true, Ok(())),
        (Alpn::Http1, false, Ok(())),
        (Alpn::Http2, false, Err("tls_alpn")),
    ] {
        let [asked, _] = shake(&client, asks, "payment", &server, spoken).await;
        assert_eq!(asked.map(|_| ()).map_err(|trouble| trouble.reason()), expected, "{asks:?} {spoken}");
    }
}

#[tokio::test]
async fn what_is_not_tls_is_said_to_be_so() {
    let scene = Scene::new();
    let client = scene.client("ours.pem", None);
    let (here, mut there) = tokio::io::duplex(1024);
    there.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await.expect("there is room");
    let trouble = client.connect(Alpn::Http1, "payment", here).await.expect_err("it is not TLS");
    assert_eq!(trouble.reason(), "tls_not_spoken", "{trouble}");
    let server = scene.server(&scene.ours.issue(&["payment"]), None);
    let (mut here, there) = tokio::io::duplex(1024);
    here.write_all(b"GET / HTTP/1.1\r\n\r\n").await.expect("there is room");
    let trouble = server.accept(false, there).await.expect_err("it is not TLS");
    assert_eq!(trouble.reason(), "tls_not_spoken", "{trouble}");
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let scene = Scene::new();
    let good = scene.ours.issue(&["payment"]);
    let (certificate, key) = good.write(scene.folder.path(), "good");
    let (_, other_key) = scene.ours.issue(&["payment"]).write(scene.folder.path(), "other");
    std::fs::write(scene.path("empty"), "").expect("the folder can be written");
    std::fs::write(scene.path("cut"), &good.certificate[..100]).expect("the folder can be written");
    for (certificate, key, client_ca, told) in [
        (scene.path("missing"), &key, None, "missing"),
        (scene.path("empty"), &key, None, "no certificate"),
        (scene.path("cut"), &key, None, "cut is not a PEM file"),
        (certificate.clone(), &scene.path("missing"), None, "missing"),
        (certificate.clone(), &certificate, None, "no private key"),
        (certificate.clone(), &other_key, None, "cannot be used together: the key is another certificate's"),
        (certificate.clone(), &key, Some("empty"), "no certificate"),
    ] {
        let client_ca = client_ca.map(|name| scene.path(name));
        let error = Reloading::load(ServerFiles { certificate, key: Some(key.clone()), client_ca });
        let error = error.expect_err(told).to_string();
        assert!(error.contains(told), "{told}: {error}");
    }
}
