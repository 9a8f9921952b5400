//! Spans of an OpenTelemetry SDK and of sidecars are one trace.

use std::path::PathBuf;
use std::process::{Command, Output};

use raceway_tests::analyzer::TraceExt;
use raceway_tests::{Stack, skip};

const PACKAGES: [&str; 2] = ["opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http"];

/// A Python that has the SDK: the one named by `RACEWAY_TESTS_OTEL_PYTHON`, else one of our own below target/, made
/// once.
fn python() -> Result<PathBuf, String> {
    if let Some(prepared) = std::env::var_os("RACEWAY_TESTS_OTEL_PYTHON") {
        return Ok(PathBuf::from(prepared));
    }
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("opentelemetry-python");
    let python = folder.join("bin/python3");
    let complete = folder.join("complete");
    if !complete.exists() {
        done(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder).output())?;
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
        done(Command::new(&python).args(pip).args(PACKAGES).output())?;
        std::fs::write(complete, "").map_err(|error| error.to_string())?;
    }
    Ok(python)
}

fn done(ran: std::io::Result<Output>) -> Result<(), String> {
    match ran {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(error) => Err(error.to_string()),
    }
}

#[tokio::test]
async fn an_opentelemetry_sdk_and_sidecars_share_a_trace() {
    let python = match python() {
        Ok(python) => python.display().to_string(),
        Err(why) => return skip(&format!("the OpenTelemetry SDK cannot be installed: {why}")),
    };
    let app = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/otel_app.py");
    let stack = Stack::of(["shop -> otel", "otel -> stock"])
        .process_told("otel", move |analyzer| {
            vec![python.clone(), app.to_owned(), format!("http://{}", analyzer.otlp_http)]
        })
        .start()
        .await;
    stack.get("/basket/1").await;
    stack.analyzer().settle(7).await;

    let trace = stack.analyzer().only_trace().await;
    assert_eq!(
        trace.family(),
        [
            // The SDK's own two spans lie between the sidecar's.
            "otel client < otel client",
            "otel client < otel server",
            "otel server < otel server",
            "otel server < shop client",
            "shop client < shop server",
            "shop server < -",
            "stock server < otel client",
        ]
    );
    let scopes: Vec<_> = trace.spans.iter().filter(|span| span.scope == "shop.handwritten").collect();
    assert_eq!(scopes.len(), 2, "two of them are the SDK's");
    assert_eq!(stack.analyzer().edges().await, ["otel -> stock", "shop -> otel"]);
    for edge in stack.analyzer().edge_list().await {
        assert_eq!(edge.call_count, 1, "{edge:?}");
    }
    stack.stop().await;
}
