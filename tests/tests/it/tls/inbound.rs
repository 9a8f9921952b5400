//! TLS that ends at the sidecar.

use std::net::SocketAddr;

use raceway_analyzer::api::types::SpanKind;
use raceway_tests::analyzer::TraceExt;
use raceway_tests::{PATIENCE, Stack, http};
use raceway_tls::{Alpn, Client, ClientFiles, Peer, Reloading, TlsStream};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::scene::{Nginx, Scene, curl_https, free_port, metric, metric_becomes};

#[tokio::test]
async fn callers_come_by_tls_and_the_application_hears_plain_text() {
    let Some(scene) = Scene::with(&["curl"]) else { return };
    scene.write(&scene.ours.issue(&["orders"]), "orders");
    let [cert, key] = scene.ends_tls("orders");
    let stack = Stack::of(["orders"]).flag("orders", &cert).flag("orders", &key).start().await;
    let door = stack.door();
    for (version, spoken) in [("--tls-max=1.2", "1.2"), ("--tlsv1.3", "1.3")] {
        let version: Vec<&str> = version.split('=').collect();
        let got = curl_https(&[&version[..], &["--cacert", &scene.ca()]].concat(), "orders", door).await;
        // HTTP/2 is offered by curl and not chosen: nobody said that the application speaks it.
        assert_eq!((got.code, got.status.as_str()), (Some(0), "200 1.1"), "{spoken}: {got:?}");
    }
    let got = curl_https(&["--tls-max", "1.1", "--cacert", &scene.ca()], "orders", door).await;
    assert_ne!(got.code, Some(0), "TLS 1.1 is not spoken: {got:?}");
    stack.analyzer().settle(2).await;
    let mut versions = Vec::new();
    for trace in stack.analyzer().traces().await {
        let span = trace.span("orders", SpanKind::Server);
        let attribute = |name: &str| span.attributes.get(name).cloned().map(|value| json!(value));
        assert_eq!(attribute("url.scheme"), Some(json!("https")));
        assert_eq!(attribute("tls.client.server_name"), Some(json!("orders")));
        versions.extend(attribute("tls.protocol.version"));
    }
    versions.sort_by_key(ToString::to_string);
    assert_eq!(versions, [json!("1.2"), json!("1.3")]);
    let done = r#"tls_handshakes_total{certificate="false",direction="inbound",version="1.3"}"#;
    assert_eq!(metric(&stack, "orders", done).await, 1.0);
    let failed = r#"tls_handshake_failures_total{direction="inbound",reason="tls_incompatible"}"#;
    metric_becomes(&stack, "orders", failed, 1.0).await;
    stack.stop().await;
}

#[tokio::test]
async fn plain_text_is_told_what_is_spoken_or_served_where_that_is_allowed() {
    let Some(scene) = Scene::with(&["curl"]) else { return };
    scene.write(&scene.ours.issue(&["orders"]), "orders");
    let [cert, key] = scene.ends_tls("orders");
    let tls_only = Stack::of(["orders"]).flag("orders", &cert).flag("orders", &key);
    let both =
        Stack::of(["orders"]).flag("orders", &cert).flag("orders", &key).flag("orders", "--inbound-tls=optional");
    let (tls_only, both) = (tls_only.start().await, both.start().await);

    let answer = http::get(tls_only.door(), "/", &[]).await;
    assert_eq!((answer.status, answer.header("x-raceway-error")), (400, Some("tls_required")), "{answer:?}");
    assert!(answer.text().contains("https://"), "{answer:?}");
    assert_eq!(tls_only.app("orders").counts().0, 0);
    let refused = r#"refused_total{direction="inbound",reason="tls_required"}"#;
    assert_eq!(metric(&tls_only, "orders", refused).await, 1.0);

    assert_eq!(http::get(both.door(), "/", &[]).await.status, 200);
    let got = curl_https(&["--cacert", &scene.ca()], "orders", both.door()).await;
    assert_eq!(got.status, "200 1.1", "{got:?}");
    tls_only.stop().await;
    both.stop().await;
}

#[tokio::test]
async fn callers_show_a_certificate_where_one_is_asked_for_and_are_known_by_it() {
    let Some(scene) = Scene::with(&["curl"]) else { return };
    scene.write(&scene.ours.issue(&["orders"]), "orders");
    scene.write(&scene.ours.issue(&["spiffe://shop/frontend", "frontend"]), "frontend");
    scene.write(&scene.others.issue(&["spiffe://shop/frontend"]), "stranger");
    scene.write(&scene.ours.issue_expired(&["frontend"]), "late");
    let [cert, key] = scene.ends_tls("orders");
    let stack = Stack::of(["orders"]).flag("orders", &cert).flag("orders", &key);
    let stack = stack.flag("orders", &format!("--inbound-tls-client-ca={}", scene.ca())).start().await;
    for (shows, reason) in [
        (None, "tls_no_certificate"),
        (Some("stranger"), "tls_unknown_issuer"),
        (Some("late"), "tls_expired"),
        (Some("frontend"), ""),
    ] {
        let (cert, key) = (
            shows.map(|name| scene.path(&format!("{name}.crt"))),
            shows.map(|name| scene.path(&format!("{name}.key"))),
        );
        let ca = scene.ca();
        let mut args = vec!["--cacert", &ca];
        if let (Some(cert), Some(key)) = (&cert, &key) {
            args.extend(["--cert", cert, "--key", key]);
        }
        let got = curl_https(&args, "orders", stack.door()).await;
        if reason.is_empty() {
            assert_eq!(got.status, "200 1.1", "{got:?}");
        } else {
            assert_ne!(got.code, Some(0), "{reason}: {got:?}");
            let failed = format!(r#"tls_handshake_failures_total{{direction="inbound",reason="{reason}"}}"#);
            metric_becomes(&stack, "orders", &failed, 1.0).await;
        }
    }
    assert_eq!(stack.app("orders").counts().0, 1, "the application hears of nobody else");
    stack.settle().await;
    let trace = stack.analyzer().only_trace().await;
    let names = trace.span("orders", SpanKind::Server).attributes.get("tls.client.subject_alternative_names").cloned();
    assert_eq!(json!(names), json!(["spiffe://shop/frontend", "frontend"]));
    stack.stop().await;
}

#[tokio::test]
async fn http_2_is_offered_where_the_application_speaks_it() {
    let Some(scene) = Scene::with(&["curl", "nginx"]) else { return };
    scene.write(&scene.ours.issue(&["orders"]), "orders");
    let backend = free_port();
    let directives = format!("listen {backend} http2; location / {{ return 200 \"$server_protocol\"; }}");
    let nginx = Nginx::start(scene.folder.path(), &[(backend, directives)]).await;
    nginx.listens(scene.folder.path(), backend).await;
    let [cert, key] = scene.ends_tls("orders");
    let stack = Stack::of(["orders"]).flag("orders", &cert).flag("orders", &key);
    let stack = stack.flag("orders", &format!("--inbound=127.0.0.1:0=h2://{backend}")).start().await;
    let door = stack.sidecar("orders").all_inbound()[1];
    let got = curl_https(&["--http2", "--cacert", &scene.ca()], "orders", door).await;
    assert!(got.status == "200 2" && got.text.contains("HTTP/2.0"), "{got:?}");
    stack.analyzer().settle(1).await;
    let trace = stack.analyzer().only_trace().await;
    let version = trace.span("orders", SpanKind::Server).attributes.get("tls.protocol.version").cloned();
    assert_eq!(json!(version), json!("1.3"));
    stack.stop().await;
}

#[tokio::test]
async fn strangers_who_begin_tls_badly_are_closed_and_counted_and_harm_nobody() {
    let Some(scene) = Scene::with(&["curl"]) else { return };
    scene.write(&scene.ours.issue(&["orders"]), "orders");
    let [cert, key] = scene.ends_tls("orders");
    let stack = Stack::of(["orders"]).flag("orders", &cert).flag("orders", &key);
    let stack = stack.flag("orders", "--header-timeout=0.3").start().await;
    let endless = [&b"\x16\x03\x01\x40\x00\x01\xff\xff\xff"[..], &[7; 16 * 1024]].concat();
    let rows: [(&str, &[u8]); 6] = [
        ("no TLS behind the first byte", b"\x16 GET / HTTP/1.1\r\n\r\n"),
        ("a record of nothing", b"\x16\x03\x01\x00\x00"),
        ("a ServerHello", b"\x16\x03\x03\x00\x04\x02\x00\x00\x00"),
        ("an empty ClientHello", b"\x16\x03\x01\x00\x04\x01\x00\x00\x00"),
        ("a hello of 16 MB", &endless),
        ("a hello that stops", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    ];
    let mut streams = Vec::new();
    for (_, bytes) in rows {
        let mut stream = TcpStream::connect(stack.door()).await.expect("somebody listens");
        stream.write_all(bytes).await.expect("there is room");
        streams.push(stream);
    }
    let got = curl_https(&["--cacert", &scene.ca()], "orders", stack.door()).await;
    assert_eq!(got.status, "200 1.1", "{got:?}");
    for ((flaw, _), mut stream) in rows.into_iter().zip(streams) {
        let mut said = Vec::new();
        let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut said)).await;
        assert!(ended.is_ok(), "{flaw}: still open");
        assert!(said.is_empty() || said[0] == 21, "{flaw}: an alert or nothing, not {said:?}");
    }
    let counted = ["tls_broken", "tls_not_spoken", "tls_handshake"].map(|reason| {
        let sample = format!(r#"tls_handshake_failures_total{{direction="inbound",reason="{reason}"}}"#);
        let stack = &stack;
        async move { metric(stack, "orders", &sample).await }
    });
    let mut sum = 0.0;
    for count in counted {
        sum += count.await;
    }
    assert_eq!(sum, rows.len() as f64);
    stack.stop().await;
}

/// Answers without a length: `/cut` is broken off by a reset, anything else ends in order.
async fn until_close(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut request = vec![0; 4096];
        let Ok(count @ 1..) = stream.read(&mut request).await else { continue };
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nbody").await.expect("it is open");
        if request[..count].starts_with(b"GET /cut") {
            stream.set_zero_linger().expect("an open socket");
        }
    }
}

#[tokio::test]
async fn a_body_that_ends_with_the_connection_is_told_from_one_that_breaks_off() {
    let Some(scene) = Scene::with(&["curl"]) else { return };
    scene.write(&scene.ours.issue(&["orders"]), "orders");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let backend = listener.local_addr().expect("a bound listener has an address");
    let mut serving = JoinSet::new();
    serving.spawn(until_close(listener));
    let [cert, key] = scene.ends_tls("orders");
    let stack = Stack::of(["orders"]).flag("orders", &cert).flag("orders", &key);
    let stack = stack.flag("orders", &format!("--inbound=127.0.0.1:0={backend}")).start().await;
    let door = stack.sidecar("orders").all_inbound()[1];
    let ca = scene.ca();
    for _ in 0..20 {
        let got = curl_https(&["--cacert", &ca], "orders", door).await;
        assert!(got.code == Some(0) && got.text.contains("\r\n\r\nbody"), "{got:?}");
    }
    let got = curl_https(&["--cacert", &ca, "--request-target", "/cut"], "orders", door).await;
    assert_ne!(got.code, Some(0), "{got:?}");
    stack.stop().await;
    serving.shutdown().await;
}

/// A connection of a caller that keeps it.
async fn open(client: &Client, door: SocketAddr) -> (TlsStream<TcpStream>, Peer) {
    let stream = TcpStream::connect(door).await.expect("somebody listens");
    client.connect(Alpn::Http1, "orders", stream).await.expect("a handshake")
}

async fn ask(stream: &mut TlsStream<TcpStream>) {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: orders\r\n\r\n").await.expect("it is open");
    let mut answer = Vec::new();
    while !answer.ends_with(b"orders") {
        assert!(stream.read_buf(&mut answer).await.expect("an answer") > 0, "{}", String::from_utf8_lossy(&answer));
    }
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn certificates_are_replaced_while_connections_run() {
    let Some(scene) = Scene::with(&[]) else { return };
    scene.write(&scene.ours.issue(&["orders", "first"]), "orders");
    let [cert, key] = scene.ends_tls("orders");
    let stack = Stack::of(["orders"]).flag("orders", &cert).flag("orders", &key).start().await;
    let ca = scene.folder.path().join("ca.pem");
    // A fresh one for each connection, so that none is resumed.
    let client = || Reloading::load(ClientFiles { ca: Some(ca.clone()), ..ClientFiles::default() }).expect("a bundle");
    let (mut early, peer) = open(&client(), stack.door()).await;
    assert_eq!(*peer.names, ["orders", "first"]);
    ask(&mut early).await;

    scene.write(&scene.ours.issue(&["orders", "second"]), "orders");
    metric_becomes(&stack, "orders", r#"tls_reloads_total{files="inbound",result="reloaded"}"#, 1.0).await;
    let (mut late, peer) = open(&client(), stack.door()).await;
    assert_eq!(*peer.names, ["orders", "second"]);
    ask(&mut late).await;
    ask(&mut early).await;

    std::fs::write(scene.path("orders.crt"), "no certificate").expect("the folder can be written");
    metric_becomes(&stack, "orders", r#"tls_reloads_total{files="inbound",result="kept"}"#, 1.0).await;
    assert!(stack.sidecar("orders").log().contains("those from before stay"));
    let (mut latest, peer) = open(&client(), stack.door()).await;
    assert_eq!(*peer.names, ["orders", "second"]);
    for stream in [&mut early, &mut late, &mut latest] {
        ask(stream).await;
    }
    drop((early, late, latest));
    stack.settle().await;
    stack.stop().await;
}
