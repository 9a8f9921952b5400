//! What a sidecar says about its way to the analyzer moves with what happens on it.

use raceway_tests::Stack;

#[tokio::test]
async fn metrics_of_the_exporter_move() {
    let stack = Stack::start(["orders"]).await;
    assert_eq!(stack.get("/orders/1").await.status, 200);
    let sidecar = stack.sidecar("orders");
    for (name, least) in [
        ("export_connects_total", 1.0),
        ("export_connected", 1.0),
        ("export_requests_accepted_total", 1.0),
        // Seconds since 1970.
        ("export_last_success_timestamp_seconds", 1e9),
    ] {
        sidecar.metric_reaches(name, &[], least).await;
    }
    assert!(sidecar.metric("export_queue_bytes_max", &[]).await > 0.0);
    stack.stop().await;
}
