//! A service built with Raceway's own SDK beside services that only have a sidecar.

use std::path::PathBuf;
use std::process::Command;

use raceway_analyzer::api::types::{SpanKind, SpanView, TraceView};
use raceway_tests::analyzer::TraceExt;
use raceway_tests::{Stack, http, skip};

/// The service, built once; its dependencies are not the workspace's.
fn service() -> Result<PathBuf, String> {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/sdk/Cargo.toml");
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("raceway-sdk");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--locked", "--manifest-path", manifest, "--target-dir"])
        .arg(&target)
        .output()
        .map_err(|error| error.to_string())?;
    if !built.status.success() {
        return Err(String::from_utf8_lossy(&built.stderr).into_owned());
    }
    Ok(target.join("debug/raceway-sdk-service"))
}

/// Walks up from a span; panics where a parent is missing.
fn ancestors<'a>(trace: &'a TraceView, span: &'a SpanView) -> Vec<&'a SpanView> {
    let mut chain = Vec::new();
    let mut next = span.parent_span_id.as_ref();
    while let Some(id) = next {
        let parent = trace.spans.iter().find(|other| other.span_id == *id);
        let parent = parent.unwrap_or_else(|| panic!("{id} is not in the trace: {:?}", trace.family()));
        assert!(chain.len() < trace.spans.len(), "a circle: {:?}", trace.family());
        chain.push(parent);
        next = parent.parent_span_id.as_ref();
    }
    chain
}

#[tokio::test]
async fn a_raceway_sdk_joins_as_callee_and_as_caller_twice_in_a_row() {
    let service = match service() {
        Ok(service) => service.display().to_string(),
        Err(why) => return skip(&format!("the service with Raceway's SDK cannot be built: {why}")),
    };
    let stack = Stack::of(["shop -> sdk", "sdk -> stock"])
        .process_told("sdk", move |analyzer| {
            vec![service.clone(), "sdk".to_owned(), format!("http://{}", analyzer.listen)]
        })
        .start()
        .await;
    for n in 1..=2 {
        stack.get(&format!("/basket/{n}")).await;
    }
    // Per request: shop 2, sdk 1 + 2, stock 2; the SDK's own events are on top, and come every second.
    stack.analyzer().settle_sidecars(14).await;
    let traces = stack.analyzer().traces_when(changes_stock).await;
    assert_eq!(traces.len(), 2, "one trace per request");
    for trace in &traces {
        let entry = trace.span("shop", SpanKind::Server);
        assert_eq!(entry.parent_span_id, None);
        let inside = sidecar_span(trace, "sdk", SpanKind::Server);
        assert_eq!(ancestors(trace, inside).first().map(|parent| parent.service.as_str()), Some("shop"));
        let calls: Vec<_> =
            trace.spans_of("sdk", SpanKind::Client).into_iter().filter(|span| span.scope == SIDECAR).collect();
        assert_eq!(calls.len(), 2);
        for call in &calls {
            let above: Vec<_> = ancestors(trace, call).iter().map(|span| span.span_id.clone()).collect();
            assert!(above.contains(&inside.span_id), "its cause is the request to sdk: {:?}", trace.family());
            assert!(calls.iter().all(|other| !above.contains(&other.span_id)), "the calls are siblings");
            assert!(!above.is_empty() && ancestors(trace, call).iter().all(|span| span.service != "stock"));
        }
        let answered: Vec<_> = trace.spans_of("stock", SpanKind::Server);
        assert_eq!(answered.len(), 2);
        for (call, answered) in calls.iter().zip(&answered) {
            assert_eq!(answered.parent_span_id.as_ref(), Some(&call.span_id), "{:?}", trace.family());
        }
    }
    assert_eq!(stack.analyzer().edges().await, ["sdk -> stock", "shop -> sdk"]);
    for edge in stack.analyzer().edge_list().await {
        assert_eq!(edge.call_count, if edge.from_service == "sdk" { 4 } else { 2 }, "{edge:?}");
    }
    stack.stop().await;
}

#[tokio::test]
async fn a_raceway_sdk_without_a_sidecar_is_a_caller_by_its_name() {
    let service = match service() {
        Ok(service) => service.display().to_string(),
        Err(why) => return skip(&format!("the service with Raceway's SDK cannot be built: {why}")),
    };
    let stack = Stack::of(["sdk -> stock"])
        .process_told("sdk", move |analyzer| {
            vec![service.clone(), "sdk".to_owned(), format!("http://{}", analyzer.listen)]
        })
        .without_sidecar("sdk")
        .start()
        .await;
    let answer = http::get(stack.door(), "/start", &[]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    stack.analyzer().settle_sidecars(2).await;

    let trace = stack.analyzer().trace("4bf92f3577b34da6a3ce929d0e0e4736").await;
    let answered = trace.spans_of("stock", SpanKind::Server);
    assert_eq!(answered.len(), 2);
    // The SDK's second call names the first callee as its parent; both are children of the SDK's own span.
    assert_eq!(answered[0].parent_span_id, answered[1].parent_span_id, "{:?}", trace.family());
    assert!(answered[0].parent_span_id.is_some());
    assert_eq!(stack.analyzer().edges().await, ["sdk -> stock"]);
    assert_eq!(stack.analyzer().edge_list().await[0].call_count, 2);
    stack.stop().await;
}

/// Whether the SDK's own account of what it did is there.
fn changes_stock(trace: &TraceView) -> bool {
    trace.events.iter().any(|event| event.kind.get("StateChange").is_some_and(|change| change["variable"] == "stock"))
}

const SIDECAR: &str = "raceway-proxy";

fn sidecar_span<'a>(trace: &'a TraceView, service: &str, kind: SpanKind) -> &'a SpanView {
    let found: Vec<_> = trace.spans_of(service, kind).into_iter().filter(|span| span.scope == SIDECAR).collect();
    assert_eq!(found.len(), 1, "{:?}", trace.family());
    found[0]
}
