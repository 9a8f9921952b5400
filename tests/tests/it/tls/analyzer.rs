//! TLS on the way to the analyzer: nginx in front of it, as a cluster's ingress would be.

use std::net::SocketAddr;

use raceway_tests::{Stack, http};

use super::scene::{Nginx, Scene, free_port, log_says, metric_becomes};

/// nginx in front of an analyzer's door for gRPC: shows analyzer.crt, and wants certificates of the trusted authority.
async fn front(scene: &Scene, grpc: SocketAddr) -> (Nginx, String) {
    scene.write(&scene.ours.issue(&["localhost"]), "analyzer");
    let front = free_port();
    let (cert, key, ca) = (scene.path("analyzer.crt"), scene.path("analyzer.key"), scene.ca());
    let directives = format!(
        "listen {front} ssl http2; ssl_certificate {cert}; ssl_certificate_key {key}; ssl_protocols TLSv1.2 TLSv1.3; \
         ssl_client_certificate {ca}; ssl_verify_client on; location / {{ grpc_pass grpc://{grpc}; }}"
    );
    let nginx = Nginx::start(scene.folder.path(), &[(front, directives)]).await;
    nginx.listens(scene.folder.path(), front).await;
    (nginx, format!("https://localhost:{}", front.port()))
}

#[tokio::test]
async fn certificates_towards_the_analyzer_are_replaced_while_spans_wait() {
    let Some(scene) = Scene::with(&["nginx"]) else { return };
    // An authority that nothing comes of here, and a certificate that the analyzer would not take.
    scene.others.write(scene.folder.path(), "trusted");
    scene.write(&scene.others.issue(&["spiffe://shop/orders"]), "orders");
    let there = Stack::start(["other"]).await;
    let (_nginx, url) = front(&scene, there.analyzer().addresses().otlp_grpc).await;
    let stack = Stack::of(["orders"]).analyzer_url(&url);
    let stack = stack.flag("orders", &format!("--analyzer-ca={}", scene.path("trusted.pem")));
    let stack = stack.flag("orders", &format!("--analyzer-tls-cert={}", scene.path("orders.crt")));
    let stack = stack.flag("orders", &format!("--analyzer-tls-key={}", scene.path("orders.key"))).start().await;
    assert_eq!(http::get(stack.door(), "/", &[]).await.status, 200);
    log_says(&stack, "orders", "signed by an issuer that is not trusted here").await;
    assert_eq!(there.analyzer().spans().await, 0);
    // The authority last: until it is there, nobody is shown anything.
    scene.write(&scene.ours.issue(&["spiffe://shop/orders"]), "orders");
    scene.ours.write(scene.folder.path(), "trusted");
    there.analyzer().settle(1).await;
    stack.stop().await;
    there.stop().await;
}

#[tokio::test]
async fn spans_reach_an_analyzer_behind_tls_that_wants_to_know_who_sends_them() {
    let Some(scene) = Scene::with(&["nginx"]) else { return };
    scene.write(&scene.ours.issue(&["spiffe://shop/orders"]), "orders");
    let there = Stack::start(["other"]).await;
    let (_nginx, url) = front(&scene, there.analyzer().addresses().otlp_grpc).await;
    let flags = [
        format!("--analyzer-ca={}", scene.ca()),
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
