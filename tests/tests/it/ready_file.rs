//! `--ready-file`: all bound addresses, as JSON, once everything listens.

use raceway_tests::{Stack, http};
use serde_json::Value;

#[tokio::test]
async fn ready_files_name_every_address_and_nothing_else() {
    let stack = Stack::start(["frontend -> api"]).await;
    let read = |name: &str| -> Value {
        let path = stack.folder().join(format!("{name}.ready.json"));
        serde_json::from_slice(&std::fs::read(path).expect("it is there")).expect("it is JSON")
    };
    let keys = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();

    let sidecar = read("frontend-sidecar-0");
    assert_eq!(keys(&sidecar), ["admin", "inbound", "outbound", "routes"]);
    assert_eq!(sidecar["inbound"].as_array().map(Vec::len), Some(1));
    assert_eq!(sidecar["routes"].as_array().map(Vec::len), Some(1));
    let analyzer = read("analyzer");
    assert_eq!(keys(&analyzer), ["listen", "otlp_grpc", "otlp_http"]);

    let all = [&sidecar["admin"], &sidecar["inbound"][0], &sidecar["outbound"], &sidecar["routes"][0]];
    for address in all.into_iter().chain(analyzer.as_object().expect("an object").values()) {
        let address: std::net::SocketAddr = address.as_str().and_then(|text| text.parse().ok()).expect("an address");
        assert_ne!(address.port(), 0);
        tokio::net::TcpStream::connect(address).await.expect("it listens");
    }
    let admin = stack.sidecar("frontend").admin();
    assert_eq!(http::get(admin, "/ready", &[]).await.status, 200);
    stack.stop().await;
}
