//! TLS on the way to the analyzer: nginx in front of it, as a cluster's ingress would be.

use raceway_tests::{Stack, http};

use super::scene::{Nginx, Scene, free_port, log_says, metric_becomes};

#[tokio::test]
async fn spans_reach_an_analyzer_behind_tls_that_wants_to_know_who_sends_them() {
    let Some(scene) = Scene::with(&["nginx"]) else { return };
    scene.write(&scene.ours.issue(&["localhost"]), "analyzer");
    scene.write(&scene.ours.issue(&["spiffe://shop/orders"]), "orders");
    let there = Stack::start(["other"]).await;
    let (front, grpc) = (free_port(), there.analyzer().addresses().otlp_grpc);
    let (cert, key, ca) = (scene.path("analyzer.crt"), scene.path("analyzer.key"), scene.ca());
    let directives = format!(
        "listen {front} ssl http2; ssl_certificate {cert}; ssl_certificate_key {key}; ssl_protocols TLSv1.2 TLSv1.3; \
         ssl_client_certificate {ca}; ssl_verify_client on; location / {{ grpc_pass grpc://{grpc}; }}"
    );
    let nginx = Nginx::start(scene.folder.path(), &[(front, directives)]).await;
    nginx.listens(scene.folder.path(), front).await;
    let url = format!("https://localhost:{}", front.port());
    let flags = [
        format!("--analyzer-ca={ca}"),
        format!("--analyzer-tls-cert={}", scene.path("orders.crt")),
        format!("--analyzer-tls-key={}", scene.path("orders.key")),
    ];
    let mut stack = Stack::of(["orders"]).analyzer_url(&url);
    for flag in &flags {
        stack = stack.flag("orders", flag);
    }
    let stack = stack.start().await;
    assert_eq!(http::get(stack.door(), "/", &[]).await.status, 200);
    there.analyzer().settle(1).await;
    assert_eq!(stack.analyzer().spans().await, 0, "its own is not told");
    stack.stop().await;

    // Trusted by nobody here: nothing is sent, requests pass, and the log says what to look at.
    let stack = Stack::of(["orders"]).analyzer_url(&url).start().await;
    assert_eq!(http::get(stack.door(), "/", &[]).await.status, 200);
    let waiting = format!(r#"spans_waiting{{endpoint="{url}"}}"#);
    metric_becomes(&stack, "orders", &waiting, 1.0).await;
    log_says(&stack, "orders", "signed by an issuer that is not trusted here; check the CA bundle (--analyzer-ca")
        .await;
    stack.stop().await;
    there.stop().await;
}
