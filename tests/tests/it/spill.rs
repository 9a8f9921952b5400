//! `--spill-dir`: a sidecar that is killed while the analyzer is away has its spans sent by the next one.

use std::path::Path;
use std::time::{Duration, Instant};

use raceway_cli::Part;
use raceway_cli::child::{Child, Stdout};
use raceway_tests::analyzer::Analyzer;
use raceway_tests::app::{App, Behaviour};
use raceway_tests::{PATIENCE, http, program};
use serde_json::Value;
use tokio::time::sleep;

/// A sidecar with memory for a few spans; what it says where it does not start.
async fn sidecar(name: &str, folder: &Path, flags: &[String]) -> Result<(Child, Value), String> {
    let args = [Part::Proxy.word(), "--service=orders", "--admin=127.0.0.1:0", "--queue-bytes=64KiB"];
    let args = args.into_iter().map(str::to_owned).chain(flags.iter().cloned());
    let mut child = Child::start(&program(), args, name, folder, Stdout::Log).expect("it starts");
    let ready = child.ready().await.map_err(|error| error.to_string())?;
    Ok((child, ready))
}

fn address(value: &Value) -> std::net::SocketAddr {
    value.as_str().and_then(|text| text.parse().ok()).expect("an address")
}

async fn metric(admin: std::net::SocketAddr, name: &str) -> u64 {
    let text = http::get(admin, "/metrics", &[]).await.text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in {text}"))
}

#[tokio::test]
async fn spans_on_disk_survive_kill_9_and_are_sent_by_the_next_sidecar() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut analyzer = Analyzer::start(folder.path()).await;
    let app = App::start("orders", Vec::new(), Behaviour::default()).await;
    let flags = [
        format!("--inbound=127.0.0.1:0={}", app.address()),
        format!("--analyzer=http://{}", analyzer.addresses().otlp_grpc),
        format!("--spill-dir={}", folder.path().join("spill").display()),
    ];
    analyzer.stop().await;
    let (child, ready) = sidecar("first", folder.path(), &flags).await.expect("the folder is free");
    let (door, admin) = (address(&ready["inbound"][0]), address(&ready["admin"]));
    let until = Instant::now() + PATIENCE;
    while metric(admin, "raceway_proxy_spill_spans").await < 200 {
        assert!(Instant::now() < until, "nothing goes to disk");
        for _ in 0..50 {
            assert_eq!(http::get(door, "/orders/1", &[]).await.status, 200);
        }
    }
    let on_disk = metric(admin, "raceway_proxy_spill_spans").await;
    let taken = sidecar("refused", folder.path(), &flags).await.expect_err("the folder is taken");
    assert!(taken.contains("--spill-dir") && taken.contains("another process uses it"), "{taken}");
    // Dropped without a word: killed.
    drop(child);

    analyzer.start_again().await;
    let until = Instant::now() + PATIENCE;
    let (child, ready) = loop {
        // The lock goes with the process, a moment after the kill.
        match sidecar("second", folder.path(), &flags).await {
            Ok(started) => break started,
            Err(told) => assert!(Instant::now() < until, "{told}"),
        }
        sleep(Duration::from_millis(20)).await;
    };
    // More may have gone to disk since.
    let until = Instant::now() + PATIENCE;
    while analyzer.spans().await < on_disk {
        assert!(Instant::now() < until, "{} of {on_disk} spans arrived", analyzer.spans().await);
        sleep(Duration::from_millis(20)).await;
    }
    let admin = address(&ready["admin"]);
    assert!(metric(admin, "raceway_proxy_spill_spans_recovered_total").await >= on_disk);
    let until = Instant::now() + PATIENCE;
    while metric(admin, "raceway_proxy_spill_bytes").await > 0 {
        assert!(Instant::now() < until, "files stay");
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(metric(admin, "raceway_proxy_spill_spans_unreadable_total").await, 0);
    child.stop(PATIENCE).await.unwrap_or_else(|error| panic!("{error}"));
    app.stop().await;
    analyzer.stop().await;
}
