//! TLS that begins at the sidecar: the application speaks plain text to a route, the other side hears TLS.

use std::net::SocketAddr;

use raceway_analyzer::api::types::SpanKind;
use raceway_tests::analyzer::TraceExt;
use raceway_tests::{PATIENCE, Stack, http};
use raceway_tls::{Reloading, ServerFiles};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, sleep, timeout};

use super::scene::{Nginx, Scene, curl, curl_https, free_port, metric, metric_becomes};
use crate::operator::operator;

/// nginx's directives for a server that shows NAME.crt and tells what it was asked.
fn server(scene: &Scene, at: SocketAddr, name: &str, more: &str) -> (SocketAddr, String) {
    let (certificate, key) = (scene.path(&format!("{name}.crt")), scene.path(&format!("{name}.key")));
    let directives = format!(
        "listen {at} ssl http2; ssl_certificate {certificate}; ssl_certificate_key {key}; \
         ssl_protocols TLSv1.2 TLSv1.3; {more} \
         location / {{ return 200 \"$server_protocol $ssl_server_name $ssl_client_verify\"; }}"
    );
    (at, directives)
}

#[tokio::test]
async fn an_https_route_keeps_the_protocol_of_its_caller() {
    let Some(scene) = Scene::with(&["curl", "nginx"]) else { return };
    scene.write(&scene.ours.issue(&["localhost", "spiffe://shop/payment"]), "payment");
    let there = free_port();
    let nginx = Nginx::start(scene.folder.path(), &[server(&scene, there, "payment", "")]).await;
    nginx.listens(scene.folder.path(), there).await;
    let stack = Stack::of(["shop"]).flag("shop", &format!("--upstream-ca={}", scene.ca()));
    let route = format!("--route=127.0.0.1:0=payment@https://localhost:{}", there.port());
    let marked = format!("localhost:{}", there.port());
    let stack = stack.flag("shop", &route).flag("shop", &format!("--upstream-tls={marked}")).start().await;
    let url = format!("http://{}/pay", stack.sidecar("shop").routes()[0]);
    // Twice on one connection; curl 7.88 cannot with prior knowledge, through anybody.
    let got = curl(&["--http1.1", &url, &url]).await;
    assert!(got.code == Some(0) && got.text.matches("HTTP/1.1 localhost").count() == 2, "{got:?}");
    let got = curl(&["--http2-prior-knowledge", &url]).await;
    assert!(got.status == "200 2" && got.text.contains("HTTP/2.0 localhost"), "{got:?}");
    stack.analyzer().settle(3).await;
    for trace in stack.analyzer().traces().await {
        let span = trace.span("shop", SpanKind::Client);
        let attribute = |name: &str| json!(span.attributes.get(name).cloned());
        assert_eq!(attribute("url.scheme"), json!("https"));
        assert_eq!(attribute("tls.protocol.version"), json!("1.3"));
        let names = attribute("tls.server.subject_alternative_names");
        assert_eq!(names, json!(["spiffe://shop/payment", "localhost"]));
    }
    assert_eq!(stack.analyzer().edges().await, ["shop -> payment"]);
    // A plain call through the forward proxy to a place that is marked.
    let (proxy, marked) = (format!("http://{}", stack.sidecar("shop").outbound()), format!("http://{marked}/"));
    let got = curl(&["--proxy", &proxy, &marked]).await;
    assert!(got.status == "200 1.1" && got.text.contains("HTTP/1.1 localhost"), "{got:?}");
    // The application begins TLS itself, to a place where we would: it passes.
    let got = curl_https(&["--cacert", &scene.ca()], "localhost", stack.sidecar("shop").routes()[0]).await;
    assert!(got.status == "200 2", "{got:?}");
    let done = r#"tls_handshakes_total{certificate="true",direction="outbound",version="1.3"}"#;
    assert_eq!(metric(&stack, "shop", done).await, 3.0, "one for each caller's connection");
    stack.stop().await;
}

#[tokio::test]
async fn what_cannot_be_verified_is_a_502_that_says_what_to_look_at() {
    let Some(scene) = Scene::with(&["curl", "nginx"]) else { return };
    scene.write(&scene.ours.issue(&["localhost"]), "good");
    scene.write(&scene.ours.issue_expired(&["localhost"]), "late");
    scene.write(&scene.ours.issue_early(&["localhost"]), "early");
    scene.write(&scene.others.issue(&["localhost"]), "stranger");
    let [good, late, early, stranger, plain] = [(); 5].map(|()| free_port());
    let servers = [
        server(&scene, good, "good", ""),
        server(&scene, late, "late", ""),
        server(&scene, early, "early", ""),
        server(&scene, stranger, "stranger", ""),
        (plain, format!("listen {plain}; location / {{ return 200; }}")),
    ];
    let nginx = Nginx::start(scene.folder.path(), &servers).await;
    for (address, _) in &servers {
        nginx.listens(scene.folder.path(), *address).await;
    }
    let table = [
        (format!("127.0.0.1:{}", good.port()), "tls_name_mismatch", "localhost"),
        (format!("localhost:{}", late.port()), "tls_expired", "3 days ago"),
        (format!("localhost:{}", early.port()), "tls_not_yet_valid", "clock"),
        (format!("localhost:{}", stranger.port()), "tls_unknown_issuer", "--upstream-ca"),
        (format!("localhost:{}", plain.port()), "tls_not_spoken", "https://"),
    ];
    let mut stack = Stack::of(["shop"]).flag("shop", &format!("--upstream-ca={}", scene.ca()));
    for (target, ..) in &table {
        stack = stack.flag("shop", &format!("--route=127.0.0.1:0=https://{target}"));
    }
    let stack = stack.start().await;
    for ((target, reason, told), door) in table.iter().zip(stack.sidecar("shop").routes()) {
        let answer = http::get(*door, "/", &[]).await;
        assert_eq!((answer.status, answer.header("x-raceway-error")), (502, Some(*reason)), "{answer:?}");
        assert!(answer.text().contains(target) && answer.text().contains(told), "{}", answer.text());
        let failed = format!(r#"tls_handshake_failures_total{{direction="outbound",reason="{reason}"}}"#);
        assert_eq!(metric(&stack, "shop", &failed).await, 1.0, "{reason}");
        let got = curl(&["--http2-prior-knowledge", &format!("http://{door}/")]).await;
        assert!(got.status == "502 2" && got.text.contains(reason), "{got:?}");
    }
    stack.analyzer().settle(10).await;
    stack.stop().await;

    // Verification can be turned off, and not silently.
    let stack = Stack::of(["shop"]).flag("shop", &format!("--route=127.0.0.1:0=https://localhost:{}", stranger.port()));
    let stack = stack.flag("shop", "--insecure-skip-verify").start().await;
    assert_eq!(http::get(stack.sidecar("shop").routes()[0], "/", &[]).await.status, 200);
    let log = stack.sidecar("shop").log();
    assert!(log.contains("WARN") && log.contains("--insecure-skip-verify"), "{log}");
    stack.stop().await;
}

#[tokio::test]
async fn a_certificate_is_shown_to_those_who_ask_and_missing_ones_are_told() {
    let Some(scene) = Scene::with(&["curl", "nginx"]) else { return };
    scene.write(&scene.ours.issue(&["localhost"]), "payment");
    scene.write(&scene.ours.issue(&["spiffe://shop/shop"]), "shop");
    let there = free_port();
    let more = format!("ssl_client_certificate {}; ssl_verify_client on;", scene.ca());
    let nginx = Nginx::start(scene.folder.path(), &[server(&scene, there, "payment", &more)]).await;
    nginx.listens(scene.folder.path(), there).await;
    let route = format!("--route=127.0.0.1:0=payment@https://localhost:{}", there.port());
    let ca = format!("--upstream-ca={}", scene.ca());
    let stack = Stack::of(["shop"]).flag("shop", &ca).flag("shop", &route);
    let stack = stack.flag("shop", &format!("--upstream-tls-cert={}", scene.path("shop.crt")));
    let stack = stack.flag("shop", &format!("--upstream-tls-key={}", scene.path("shop.key"))).start().await;
    let answer = http::get(stack.sidecar("shop").routes()[0], "/", &[]).await;
    assert_eq!(answer.text(), "HTTP/1.1 localhost SUCCESS");
    stack.stop().await;

    // A server that says no by an alert, after a handshake that looked fine (TLS 1.3).
    let certificate = scene.folder.path().join("payment.crt");
    let (key, client_ca) = (Some(scene.folder.path().join("payment.key")), Some(scene.folder.path().join("ca.pem")));
    let strict = Reloading::load(ServerFiles { certificate, key, client_ca }).expect("sound files");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("a bound listener has an address").port();
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            assert!(strict.accept(true, stream).await.is_err());
        }
    });
    let route = format!("--route=127.0.0.1:0=payment@https://localhost:{port}");
    let stack = Stack::of(["shop"]).flag("shop", &ca).flag("shop", &route).start().await;
    let door = stack.sidecar("shop").routes()[0];
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let got = curl(&[version, &format!("http://{door}/")]).await;
        assert!(got.status.starts_with("502 "), "{got:?}");
        assert!(got.text.contains("x-raceway-error: tls_client_certificate"), "{got:?}");
        assert!(got.text.contains("--upstream-tls-cert"), "{got:?}");
    }
    stack.stop().await;
    serving.shutdown().await;
}

#[tokio::test]
async fn two_sidecars_know_each_other_by_their_certificates() {
    let Some(scene) = Scene::with(&[]) else { return };
    scene.write(&scene.ours.issue(&["localhost", "spiffe://shop/orders"]), "orders");
    scene.write(&scene.ours.issue(&["spiffe://shop/shop"]), "shop");
    let [cert, key] = scene.ends_tls("orders");
    let orders = Stack::of(["orders"]).flag("orders", &cert).flag("orders", &key);
    let [asks_orders, asks_shop] = ["orders", "shop"].map(|service| format!("--control={}", scene.path(service)));
    let orders = orders.flag("orders", &format!("--inbound-tls-client-ca={}", scene.ca()));
    let orders = orders.flag("orders", &asks_orders).start().await;
    let analyzer = format!("http://{}", orders.analyzer().addresses().otlp_grpc);
    let route = format!("--route=127.0.0.1:0=orders@https://localhost:{}", orders.door().port());
    let shop = Stack::of(["shop"]).analyzer_url(&analyzer).flag("shop", &route);
    let shop = shop.flag("shop", &format!("--upstream-ca={}", scene.ca())).flag("shop", &asks_shop);
    let shop = shop.flag("shop", &format!("--upstream-tls-cert={}", scene.path("shop.crt")));
    let shop = shop.flag("shop", &format!("--upstream-tls-key={}", scene.path("shop.key"))).start().await;
    for _ in 0..2 {
        assert_eq!(http::get(shop.sidecar("shop").routes()[0], "/", &[]).await.text(), "orders");
        // The certificate is replaced, and the next connection shows the new one.
        scene.write(&scene.ours.issue(&["spiffe://shop/shop"]), "shop");
        let reloaded = r#"tls_reloads_total{files="upstream",result="reloaded"}"#;
        if metric(&shop, "shop", reloaded).await < 1.0 {
            metric_becomes(&shop, "shop", reloaded, 1.0).await;
        }
    }
    orders.analyzer().settle(4).await;
    for trace in orders.analyzer().traces().await {
        assert_eq!(trace.family(), ["orders server < shop client", "shop client < -"]);
        let of =
            |service: &str, kind: SpanKind, name: &str| json!(trace.span(service, kind).attributes.get(name).cloned());
        let (client, server) = ("tls.client.subject_alternative_names", "tls.server.subject_alternative_names");
        assert_eq!(of("orders", SpanKind::Server, client), json!(["spiffe://shop/shop"]));
        assert_eq!(of("shop", SpanKind::Client, server), json!(["spiffe://shop/orders", "localhost"]));
    }
    assert_eq!(orders.analyzer().edges().await, ["shop -> orders"]);

    // The edges say so too; also those of connections that are not HTTP, inside TLS that the sidecar begins.
    let mut bytes = TcpStream::connect(shop.sidecar("shop").routes()[0]).await.expect("it listens");
    bytes.write_all(b"\0\0\0\0").await.expect("it is open");
    bytes.shutdown().await.expect("it is open");
    // Whatever the application makes of it.
    let _ = timeout(PATIENCE, bytes.read_to_end(&mut Vec::new())).await.expect("it ends");
    let names = json!(["spiffe://shop/orders", "localhost"]);
    let until = Instant::now() + PATIENCE;
    let edges = loop {
        let edges = ask(&asks_shop).await;
        if edges["edges"].as_array().is_some_and(|edges| edges.len() == 2) {
            break edges;
        }
        assert!(Instant::now() < until, "{edges}");
        sleep(Duration::from_millis(20)).await;
    };
    let of = |place: usize, field: &str| edges["edges"][place][field].clone();
    assert_eq!((of(0, "protocol"), of(0, "calls"), of(0, "peer_names")), (json!("http"), json!(2), names.clone()));
    assert_eq!((of(1, "protocol"), of(1, "to"), of(1, "peer_names")), (json!("tcp"), json!("orders"), names));
    assert_eq!(of(1, "bytes_sent"), json!(4), "{edges}");
    let callers = ask(&asks_orders).await["callers"].clone();
    let (from, names) = (json!("spiffe://shop/shop"), json!(["spiffe://shop/shop"]));
    assert_eq!((&callers[0]["from"], &callers[0]["peer_names"], &callers[0]["calls"]), (&from, &names, &json!(2)));
    shop.stop().await;
    orders.stop().await;
}

/// What a sidecar answers to `raceway-proxy edges`.
async fn ask(control: &str) -> Value {
    let (code, said) = operator(&format!("edges {control}")).await;
    assert_eq!(code, Some(0), "{said}");
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
}
