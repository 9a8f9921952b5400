//! The example of the requirements in its three readings: each comes out with its duration, through real services.

use std::time::Duration;

use raceway_analyzer::api::types::CriticalPath;
use raceway_tests::Stack;
use raceway_tests::app::Behaviour;

/// What hops, timers and a busy machine may add to 850 ms.
const OVERHEAD_MS: f64 = 120.0;

/// Sends a few requests through services with these own times, and takes the path of the one least disturbed.
async fn path(topology: [&str; 3], own_ms: [(&str, u64); 5]) -> CriticalPath {
    let mut stack = Stack::of(topology);
    for (service, own) in own_ms {
        stack = stack.behave(service, Behaviour { own: Duration::from_millis(own), ..Behaviour::default() });
    }
    let stack = stack.start().await;
    for _ in 0..3 {
        stack.get("/checkout").await;
    }
    stack.settle().await;
    let traces = stack.analyzer().traces().await;
    assert_eq!(traces.len(), 3, "one request in flight at a time: each is one trace");
    let quickest = traces.iter().min_by(|a, b| a.duration_ms.total_cmp(&b.duration_ms)).expect("three");
    let path = stack.analyzer().critical_path(&quickest.trace_id).await;
    stack.stop().await;

    let sum: f64 = path.path.iter().map(|step| step.self_ms).sum();
    assert!((sum - path.total_duration_ms).abs() < 0.01, "the steps tile the whole: {path:?}");
    for pair in path.path.windows(2) {
        assert_eq!(pair[0].end_ns, pair[1].start_ns, "the steps join: {path:?}");
    }
    path
}

fn assert_about(what: &str, ms: f64, expected: f64) {
    assert!((expected - 1.0..expected + OVERHEAD_MS).contains(&ms), "{what}: {ms} ms where {expected} should be");
}

/// Exactly these services are on the path, each about as long as said; the first two are the largest shares.
fn assert_shares(path: &CriticalPath, expected: &[(&str, f64)]) {
    assert_eq!(path.services.len(), expected.len(), "{path:?}");
    for (place, (name, ms)) in expected.iter().enumerate() {
        let found = path.services.iter().position(|share| share.service == *name);
        let found = found.unwrap_or_else(|| panic!("{name} is not on the path: {path:?}"));
        assert_about(name, path.services[found].self_ms, *ms);
        assert!(place > 1 || found == place, "{name} is number {found} on the path: {path:?}");
    }
}

#[tokio::test]
async fn services_working_in_turn_take_850_ms() {
    let path = path(
        ["frontend -> api", "api -> auth, order", "order -> payment"],
        [("frontend", 50), ("api", 100), ("auth", 150), ("order", 300), ("payment", 250)],
    )
    .await;
    assert_about("total", path.total_duration_ms, 850.0);
    assert_shares(&path, &[("order", 300.0), ("payment", 250.0), ("auth", 150.0), ("api", 100.0), ("frontend", 50.0)]);
}

#[tokio::test]
async fn an_order_that_includes_its_payment_takes_600_ms() {
    let path = path(
        ["frontend -> api", "api -> auth, order", "order -> payment"],
        [("frontend", 50), ("api", 100), ("auth", 150), ("order", 50), ("payment", 250)],
    )
    .await;
    assert_about("total", path.total_duration_ms, 600.0);
    assert_shares(&path, &[("payment", 250.0), ("auth", 150.0), ("api", 100.0), ("order", 50.0), ("frontend", 50.0)]);
}

#[tokio::test]
async fn auth_beside_order_takes_700_ms_and_has_400_to_spare() {
    let path = path(
        ["frontend -> api", "api -> auth & order", "order -> payment"],
        [("frontend", 50), ("api", 100), ("auth", 150), ("order", 300), ("payment", 250)],
    )
    .await;
    assert_about("total", path.total_duration_ms, 700.0);
    assert_shares(&path, &[("order", 300.0), ("payment", 250.0), ("api", 100.0), ("frontend", 50.0)]);
    let auth = path.savings.iter().find(|saving| saving.service == "auth").expect("auth is off the path");
    assert_eq!(auth.saved_if_zero_ms, 0.0, "{auth:?}");
    assert!((400.0 - 30.0..400.0 + OVERHEAD_MS).contains(&auth.slack_ms), "{auth:?}");
}
