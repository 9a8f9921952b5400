//! TLS that ends at a sidecar whose connections are redirected to it: neither the callers nor the application were told.

use raceway_analyzer::api::types::SpanKind;
use raceway_tests::analyzer::TraceExt;
use raceway_tests::netns::Sidecar;
use raceway_tests::{PATIENCE, http};
use serde_json::json;
use tokio::time::{Duration, Instant, sleep};

use super::scene::{Scene as Files, curl_https};
use crate::intercept::has;
use crate::transparent::{Scene, address, greeted};

/// An application that ends TLS itself: port 8443, every address.
const SPEAKS_TLS: &str = "
import http.server, socket, ssl, sys
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
server = Server(('::', 8443), http.server.SimpleHTTPRequestHandler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
server.socket = context.wrap_socket(server.socket, server_side=True)
print('ready', flush=True)
server.serve_forever()
";

/// Files, and a sidecar that ends TLS with them where these flags say.
async fn ends_tls(flags: &str) -> Option<(Files, Scene)> {
    let files = Files::with(&["curl"])?;
    files.write(&files.ours.issue(&["orders", "first"]), "orders");
    files.write(&files.ours.issue(&["spiffe://shop/frontend"]), "frontend");
    let [cert, key] = files.ends_tls("orders");
    let flags = flags.replace("CA", &files.ca());
    let scene = Scene::new(&format!("{cert} {key} {flags}")).await?;
    Some((files, scene))
}

async fn becomes(sidecar: &Sidecar, words: &[&str], count: f64) {
    let until = Instant::now() + PATIENCE;
    while (sidecar.count(words).await - count).abs() > 0.1 {
        assert!(Instant::now() < until, "{words:?} is {}", sidecar.count(words).await);
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn redirected_callers_come_by_tls_and_are_known_by_their_certificates() {
    let Some((files, scene)) = ends_tls("--inbound-tls-port 8080 --inbound-tls-client-ca CA").await else { return };
    let own = files.ours.issue(&["app.example"]);
    files.write(&own, "app");
    let (cert, key) = (files.path("app.crt"), files.path("app.key"));
    let _own_tls = scene.world.inside.start("python3", &["-c", SPEAKS_TLS, &cert, &key]);
    scene.install("");
    let (ca, cert, key) = (files.ca(), files.path("frontend.crt"), files.path("frontend.key"));
    let shows = ["--cacert", &ca, "--cert", &cert, "--key", &key];
    for (count, there) in ["10.99.0.1:8080", "[fd99::1]:8080"].into_iter().enumerate() {
        let got = curl_https(&shows, "orders", address(there)).await;
        // HTTP/2 is offered by curl and not chosen: nobody said that the application speaks it.
        assert!(got.status == "200 1.1" && got.text.contains("app for "), "{got:?}");
        scene.analyzer.settle(count as u64 + 1).await;
    }
    for trace in scene.analyzer.traces().await {
        let span = trace.span("app", SpanKind::Server);
        let attribute = |name: &str| span.attributes.get(name).cloned().map(|value| json!(value));
        assert_eq!(attribute("url.scheme"), Some(json!("https")));
        assert_eq!(attribute("tls.client.server_name"), Some(json!("orders")));
        assert_eq!(attribute("tls.client.subject_alternative_names"), Some(json!(["spiffe://shop/frontend"])));
        assert_eq!(attribute("server.port"), Some(json!(8080)));
    }
    // Who shows nothing, and who speaks plain text, is told; the application hears of neither.
    let got = curl_https(&["--cacert", &ca], "orders", address("10.99.0.1:8080")).await;
    assert_ne!(got.code, Some(0), "{got:?}");
    becomes(&scene.sidecar, &["tls_handshake_failures_total", "inbound", "tls_no_certificate"], 1.0).await;
    let answer = http::get(address("10.99.0.1:8080"), "/", &[]).await;
    assert_eq!((answer.status, answer.header("x-raceway-error")), (400, Some("tls_required")), "{answer:?}");
    // A port that is not named: its TLS is the application's own.
    let got = curl_https(&["--cacert", &ca], "app.example", address("[fd99::1]:8443")).await;
    assert!(got.status.starts_with("200 "), "{got:?}");

    // Files that change are taken up here as everywhere.
    files.write(&files.ours.issue(&["second"]), "orders");
    becomes(&scene.sidecar, &["tls_reloads_total", "inbound", "reloaded"], 1.0).await;
    let got = curl_https(&shows, "second", address("10.99.0.1:8080")).await;
    assert_eq!(got.status, "200 1.1", "{got:?}");
    scene.stop().await;
}

#[tokio::test]
async fn plain_text_may_come_to_the_same_port_and_an_application_may_speak_first() {
    let flags = "--inbound-tls optional --inbound-tls-port 8000-8100,2525";
    let Some((files, scene)) = ends_tls(flags).await else { return };
    scene.install("");
    let answer = http::get(address("[fd99::1]:8080"), "/", &[]).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "app for fd99::1"));
    let got = curl_https(&["--cacert", &files.ca()], "orders", address("[fd99::1]:8080")).await;
    assert_eq!(got.status, "200 1.1", "{got:?}");
    assert_eq!(greeted("10.99.0.1:2525").await, "220 welcome\nEHLO x\n");
    // Nobody listens on it: an answer that says so, by TLS, as in explicit mode.
    let got = curl_https(&["--cacert", &files.ca()], "orders", address("10.99.0.1:8099")).await;
    assert!(got.status == "502 1.1" && got.text.contains("x-raceway-error: unreachable"), "{got:?}");
    scene.stop().await;
}

#[tokio::test]
async fn http_2_is_offered_to_redirected_callers_where_the_application_speaks_it() {
    if !has(&["nghttpd"]) {
        return;
    }
    let Some((files, scene)) = ends_tls("--inbound-tls-port h2://8082,8080").await else { return };
    let _server = scene.world.inside.start("sh", &["-c", "echo starting; exec nghttpd --no-tls --htdocs=/etc 8082"]);
    scene.install("");
    let retry = ["--http2", "--retry", "20", "--retry-all-errors", "--retry-delay", "1", "--output", "/dev/null"];
    let ca = files.ca();
    let args = [&retry[..], &["--cacert", &ca]].concat();
    let got = curl_https(&args, "orders", address("[fd99::1]:8082")).await;
    // 404: there is no index in /etc; the answer is the application's.
    assert!(got.status.ends_with(" 2"), "{got:?}");
    scene.stop().await;
}

#[tokio::test]
async fn redirected_tunnels_are_recorded_with_the_name_that_is_asked_for() {
    let Some(files) = Files::with(&["curl"]) else { return };
    files.write(&files.ours.issue(&["payment.example"]), "payment");
    let Some(scene) = Scene::new("").await else { return };
    let (ca, cert, key) = (files.ca(), files.path("payment.crt"), files.path("payment.key"));
    let _server = scene.world.outside.start("python3", &["-c", SPEAKS_TLS, &cert, &key]);
    scene.install("");
    for (count, there) in ["10.99.0.2", "fd99::2"].into_iter().enumerate() {
        let to = if there.contains(':') { format!("[{there}]") } else { there.to_owned() };
        let ask = format!(
            "curl -s -g -o /dev/null -w '%{{http_code}}' --cacert {ca} --connect-to ::{to}:8443 https://payment.example:8443/"
        );
        assert_eq!(scene.world.inside.run(&ask), "200", "{there}");
        scene.analyzer.settle(count as u64 + 1).await;
    }
    let mut seen = Vec::new();
    for trace in scene.analyzer.traces().await {
        let span = trace.span("app", SpanKind::Client);
        let attribute = |name: &str| span.attributes.get(name).cloned().map(|value| json!(value));
        assert_eq!(attribute("tls.client.server_name"), Some(json!("payment.example")));
        assert_eq!((attribute("network.transport"), attribute("server.port")), (Some(json!("tcp")), Some(json!(8443))));
        seen.extend(attribute("server.address").and_then(|address| address.as_str().map(str::to_owned)));
    }
    seen.sort();
    assert_eq!(seen, ["10.99.0.2", "fd99::2"]);
    scene.stop().await;
}

#[tokio::test]
async fn a_port_for_redirected_connections_needs_a_redirection() {
    let Some(files) = Files::with(&[]) else { return };
    files.write(&files.ours.issue(&["orders"]), "orders");
    let [cert, key] = files.ends_tls("orders");
    let args = ["__proxy", "--service=a", "--inbound=127.0.0.1:0=127.0.0.1:9", &cert, &key, "--inbound-tls-port=8443"];
    let (code, _, said) = crate::usage::run(&args).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("--inbound-tls-port is about connections redirected here: give --mode transparent"),
        "{said}"
    );
}
