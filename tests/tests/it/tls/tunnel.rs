//! TLS that the application begins itself: passed on byte for byte, with the name it asks for on record.

use std::net::SocketAddr;

use raceway_tests::Stack;
use raceway_tls::{Alpn, ClientFiles, Reloading, ServerFiles};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::scene::{Nginx, Scene, curl, curl_https, free_port};

/// The names asked for in the tunnels that were recorded, sorted.
async fn names(stack: &Stack) -> Vec<Option<String>> {
    let mut names = Vec::new();
    for trace in stack.analyzer().traces().await {
        for span in trace.spans.iter().filter(|span| span.name == "tcp") {
            assert_eq!(json!(span.attributes.get("tls.protocol.name").cloned()), json!("tls"));
            let name = json!(span.attributes.get("tls.client.server_name").cloned());
            names.push(name.as_str().map(str::to_owned));
        }
    }
    names.sort();
    names
}

#[tokio::test]
async fn a_tunnel_is_recorded_with_the_name_that_is_asked_for() {
    let Some(scene) = Scene::with(&["curl", "nginx"]) else { return };
    scene.write(&scene.ours.issue(&["payment.example", "localhost", "127.0.0.1"]), "payment");
    let there = free_port();
    let (cert, key) = (scene.path("payment.crt"), scene.path("payment.key"));
    let directives = format!(
        "listen {there} ssl http2; ssl_certificate {cert}; ssl_certificate_key {key}; \
         location / {{ return 200 \"$server_protocol $ssl_server_name\"; }}"
    );
    let nginx = Nginx::start(scene.folder.path(), &[(there, directives)]).await;
    nginx.listens(scene.folder.path(), there).await;
    let stack = Stack::of(["shop"]).flag("shop", &format!("--route=127.0.0.1:0=payment@{there}")).start().await;
    let ca = scene.ca();
    let door = stack.sidecar("shop").routes()[0];
    let got = curl_https(&["--http2", "--cacert", &ca], "payment.example", door).await;
    assert!(got.text.contains("HTTP/2.0 payment.example"), "{got:?}");
    // By CONNECT; an address is no name to ask for.
    let proxy = format!("http://{}", stack.sidecar("shop").outbound());
    for host in ["localhost", "127.0.0.1"] {
        let url = format!("https://{host}:{}/", there.port());
        let got = curl(&["--proxy", &proxy, "--cacert", &ca, &url]).await;
        assert!(got.status.starts_with("200"), "{got:?}");
    }
    stack.analyzer().settle(3).await;
    assert_eq!(names(&stack).await, [None, Some("localhost".to_owned()), Some("payment.example".to_owned())]);
    stack.stop().await;
}

/// Passes on what it gets in single bytes, as the worst of networks would.
async fn crumble(from: TcpListener, to: SocketAddr) {
    let (caller, _) = from.accept().await.expect("a caller");
    let mut there = TcpStream::connect(to).await.expect("somebody listens");
    there.set_nodelay(true).expect("an open socket");
    let mut caller = tokio::io::BufReader::with_capacity(1, caller);
    // Only the hello: it is what is looked at.
    let mut byte = [0];
    for _ in 0..300 {
        caller.read_exact(&mut byte).await.expect("a hello is longer");
        there.write_all(&byte).await.expect("it is open");
        tokio::task::yield_now().await;
    }
    copy_bidirectional(&mut caller, &mut there).await.ok();
}

#[tokio::test]
async fn a_hello_in_pieces_is_read_all_the_same() {
    let Some(scene) = Scene::with(&[]) else { return };
    // Two more names, so that the hello is as long as it is for others.
    let name = "a-name-that-is-rather-long.so-that-the-hello-is.as-long-as-others-are.payment.example";
    scene.write(&scene.ours.issue(&[name]), "payment");
    let (certificate, key) = (scene.folder.path().join("payment.crt"), scene.folder.path().join("payment.key"));
    let server = Reloading::load(ServerFiles { certificate, key: Some(key), client_ca: None }).expect("sound files");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let there = listener.local_addr().expect("a bound listener has an address");
    let stack = Stack::of(["shop"]).flag("shop", &format!("--route=127.0.0.1:0=payment@{there}")).start().await;
    let crumbs = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let door = crumbs.local_addr().expect("a bound listener has an address");
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let (stream, _) = listener.accept().await.expect("a caller");
        let (mut stream, _) = server.accept(false, stream).await.expect("a handshake");
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("text");
        stream.write_all(text.to_uppercase().as_bytes()).await.expect("it is open");
        stream.shutdown().await.expect("it is open");
    });
    tasks.spawn(crumble(crumbs, stack.sidecar("shop").routes()[0]));
    let ca = Some(scene.folder.path().join("ca.pem"));
    let client = Reloading::load(ClientFiles { ca, ..ClientFiles::default() }).expect("a bundle");
    let stream = TcpStream::connect(door).await.expect("somebody listens");
    let (mut stream, _) = client.connect(Alpn::Any, name, stream).await.expect("a handshake");
    stream.write_all(b"half-closed, and answered").await.expect("it is open");
    stream.shutdown().await.expect("it is open");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    assert_eq!(answer, "HALF-CLOSED, AND ANSWERED");
    while let Some(ended) = tasks.join_next().await {
        ended.expect("nothing panics");
    }
    stack.analyzer().settle(1).await;
    assert_eq!(names(&stack).await, [Some(name.to_owned())]);
    stack.stop().await;
}
