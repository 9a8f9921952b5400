//! Receivers behind TLS: OTLP over gRPC and HTTP, with certificates that are right, wrong, missing and replaced.

#![allow(clippy::unwrap_used, reason = "a panic here is a test that fails")]

mod support;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use raceway_analyzer_client::{Endpoint, Exporter, Protocol, Settings};
use raceway_tls::testing::{Authority, Issued};
use raceway_tls::{ClientFiles, Reloading, Server, ServerFiles};
use support::grpc::{self, Ability};
use support::{Ledger, PATIENCE, Receiver, free_address, http, record, settings, stop, until};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// An authority with a folder, where `ca.pem` is its own certificate.
struct Scene {
    folder: TempDir,
    ours: Authority,
}

impl Scene {
    fn new() -> Self {
        let (folder, ours) = (tempfile::tempdir().unwrap(), Authority::new("ours"));
        ours.write(folder.path(), "ca");
        Self { folder, ours }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn server(&self, shows: &Issued, client_ca: Option<&str>) -> Server {
        let (certificate, key) = shows.write(self.folder.path(), "server");
        let client_ca = client_ca.map(|name| self.path(name));
        Reloading::load(ServerFiles { certificate, key: Some(key), client_ca }).unwrap()
    }

    fn trusting(&self) -> ClientFiles {
        ClientFiles { ca: Some(self.path("ca.pem")), ..ClientFiles::default() }
    }
}

/// TLS in front of a receiver.
struct Front {
    address: SocketAddr,
    /// Names in the certificate of the client that came last.
    clients: Arc<std::sync::Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Front {
    async fn of(receiver: SocketAddr, server: Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (clients, connections) = (Arc::<std::sync::Mutex<Vec<String>>>::default(), Arc::<AtomicUsize>::default());
        let (seen, counted) = (clients.clone(), connections.clone());
        let mut tasks = JoinSet::new();
        let server = Arc::new(server);
        tasks.spawn(async move {
            let mut carried = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (server, seen, counted) = (server.clone(), seen.clone(), counted.clone());
                carried.spawn(async move {
                    let Ok((mut stream, peer)) = server.accept(true, stream).await else { return };
                    *seen.lock().unwrap() = peer.names.to_vec();
                    counted.fetch_add(1, Ordering::Relaxed);
                    let mut there = TcpStream::connect(receiver).await.unwrap();
                    tokio::io::copy_bidirectional(&mut stream, &mut there).await.ok();
                });
            }
        });
        Self { address, clients, connections, _tasks: tasks }
    }
}

fn receiver(protocol: Protocol, ledger: &Arc<Ledger>) -> Receiver {
    match protocol {
        Protocol::Grpc => grpc::receiver(free_address(), ledger, Ability::default()),
        Protocol::HttpProtobuf => http::receiver(free_address(), "", ledger, &["zstd"]),
    }
}

fn to(host: &str, front: &Front, protocol: Protocol, files: ClientFiles) -> Settings {
    let url = format!("https://{host}:{}", front.address.port());
    let endpoint = Endpoint::parse(&url, protocol).unwrap().with_tls(files).unwrap();
    Settings { endpoints: vec![endpoint], ..settings(front.address, protocol) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn spans_go_by_tls_over_both_protocols() {
    let scene = Scene::new();
    for protocol in [Protocol::Grpc, Protocol::HttpProtobuf] {
        let ledger = Arc::new(Ledger::default());
        let receiver = receiver(protocol, &ledger);
        let front = Front::of(receiver.address, scene.server(&scene.ours.issue(&["localhost"]), None)).await;
        let exporter = Exporter::start(to("localhost", &front, protocol, scene.trusting()));
        record(&exporter, 1..2000);
        ledger.until_spans(1..2000).await;
        let stats = stop(&exporter, PATIENCE).await;
        assert_eq!((stats.spans_sent, stats.dropped.total()), (1999, 0));
        assert!(stats.endpoint.starts_with("https://localhost:"), "{}", stats.endpoint);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_receiver_that_cannot_be_verified_gets_nothing_and_is_told_of() {
    let scene = Scene::new();
    let others = Authority::new("others");
    let ledger = Arc::new(Ledger::default());
    let receiver = receiver(Protocol::Grpc, &ledger);
    for (shows, wants, told) in [
        (others.issue(&["localhost"]), None, "--analyzer-ca"),
        (scene.ours.issue_expired(&["localhost"]), None, "expired 3 days ago"),
        (scene.ours.issue(&["analyzer"]), None, "only for analyzer"),
        (scene.ours.issue(&["localhost"]), Some("ca.pem"), "client certificate"),
    ] {
        let front = Front::of(receiver.address, scene.server(&shows, wants)).await;
        let exporter = Exporter::start(to("localhost", &front, Protocol::Grpc, scene.trusting()));
        record(&exporter, 1..3);
        let stats = until(&exporter, "it was tried again", |stats| stats.progress.retries > 1).await;
        let problem = stats.progress.last_error.expect("it says what is wrong").text;
        assert!(problem.contains(told), "{told}: {problem}");
        exporter.stop(std::time::Duration::ZERO).await;
    }
    assert_eq!(ledger.look(|seen| seen.spans.len()), 0);
    // What answers there is no TLS at all.
    let url = format!("https://{}", receiver.address);
    let endpoint = Endpoint::parse(&url, Protocol::Grpc).unwrap().with_tls(scene.trusting()).unwrap();
    let exporter =
        Exporter::start(Settings { endpoints: vec![endpoint], ..settings(receiver.address, Protocol::Grpc) });
    let stats = until(&exporter, "it was tried again", |stats| stats.progress.retries > 1).await;
    let problem = stats.progress.last_error.expect("it says what is wrong").text;
    assert!(problem.contains("TLS"), "{problem}");
    exporter.stop(std::time::Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_replaced_certificate_is_shown_on_a_new_connection() {
    let scene = Scene::new();
    let ledger = Arc::new(Ledger::default());
    let receiver = receiver(Protocol::Grpc, &ledger);
    let front = Front::of(receiver.address, scene.server(&scene.ours.issue(&["localhost"]), Some("ca.pem"))).await;
    let (certificate, key) = scene.ours.issue(&["first"]).write(scene.folder.path(), "client");
    let files = ClientFiles { certificate: Some(certificate), key: Some(key), ..scene.trusting() };
    let exporter = Exporter::start(to("localhost", &front, Protocol::Grpc, files));
    record(&exporter, 1..10);
    ledger.until_spans(1..10).await;
    assert_eq!(*front.clients.lock().unwrap(), ["first"]);
    scene.ours.issue(&["second"]).write(scene.folder.path(), "client");
    let mut number = 10;
    let renewed = async {
        while *front.clients.lock().unwrap() != ["second"] {
            record(&exporter, number..number + 1);
            number += 1;
            ledger.until_spans(1..number).await;
        }
    };
    tokio::time::timeout(PATIENCE, renewed).await.expect("the new certificate is shown");
    assert_eq!(front.connections.load(Ordering::Relaxed), 2);
    let stats = stop(&exporter, PATIENCE).await;
    assert_eq!((stats.spans_sent, stats.dropped.total()), (number - 1, 0));
}
