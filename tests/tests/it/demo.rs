//! `raceway demo`: what it finds, what it prints, and that it leaves nothing behind.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use raceway_tests::{PATIENCE, program};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

/// A demo takes longer than anything else here: it starts eleven processes and runs for seconds.
const DEMO_PATIENCE: Duration = Duration::from_secs(90);

fn demo(args: &[&str], temporary: &Path) -> Child {
    Command::new(program())
        .args(["demo", "--listen", "127.0.0.1:0"])
        .args(args)
        .env("TMPDIR", temporary)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the program starts")
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap_or_else(|| panic!("not an object: {value}")).keys().map(String::as_str).collect()
}

#[tokio::test]
async fn the_demo_finds_exactly_its_five_edges() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let output = demo(&["--seconds", "4", "--json"], temporary.path()).wait_with_output();
    let output = timeout(DEMO_PATIENCE, output).await.expect("it ends by itself").expect("it ended");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("http://127.0.0.1:"), "it says where the page is: {stderr}");
    let found: Value = serde_json::from_slice(&output.stdout).expect("stdout is one JSON object and nothing else");

    assert_eq!(
        keys(&found),
        ["critical_path", "edges", "failed", "links", "requests", "spans", "spans_lost", "traces", "url"]
    );
    let edges: BTreeSet<(&str, &str)> = found["edges"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|edge| {
            assert_eq!(keys(edge), ["calls", "errors", "from", "p50_ms", "p95_ms", "p99_ms", "to"]);
            assert!(edge["calls"].as_u64() > Some(0) && edge["p50_ms"].as_f64() <= edge["p99_ms"].as_f64(), "{edge}");
            (edge["from"].as_str().expect("text"), edge["to"].as_str().expect("text"))
        })
        .collect();
    assert_eq!(
        edges,
        BTreeSet::from([
            ("api", "auth"),
            ("api", "order"),
            ("api", "payment"),
            ("frontend", "api"),
            ("order", "payment"),
        ])
    );
    let number = |value: &Value| value.as_u64().unwrap_or_else(|| panic!("not a number: {value}"));
    assert!(number(&found["requests"]) > 10, "{found}");
    assert_eq!(number(&found["failed"]), 0, "{found}");
    assert_eq!(number(&found["spans_lost"]), 0, "{found}");
    let calls: u64 = found["edges"].as_array().expect("a list").iter().map(|edge| number(&edge["calls"])).sum();
    assert_eq!(number(&found["spans"]), number(&found["requests"]) + 2 * calls, "a span per call and side: {found}");
    assert!(number(&found["traces"]) >= number(&found["requests"]), "{found}");

    let links = &found["links"];
    assert_eq!(keys(links), ["certain", "likely", "unlinked", "wrong"]);
    let linked = number(&links["certain"]) + number(&links["likely"]);
    assert_eq!(linked + number(&links["unlinked"]), calls, "{found}");
    assert!(linked * 2 > calls, "less than half of the calls are linked: {found}");
    assert_eq!(number(&links["wrong"]), 0, "{found}");

    let path = &found["critical_path"];
    assert_eq!(keys(path), ["steps", "total_ms"]);
    let steps = path["steps"].as_array().expect("a list");
    let services: BTreeSet<_> = steps.iter().map(|step| step["service"].as_str().expect("text")).collect();
    assert_eq!(services, BTreeSet::from(["api", "auth", "frontend", "order", "payment"]));
    let sum: f64 = steps.iter().map(|step| step["self_ms"].as_f64().expect("a number")).sum();
    assert!((sum - path["total_ms"].as_f64().expect("a number")).abs() < 0.01, "{path}");
    assert_empty(temporary.path());
}

/// Starts a demo and reads what it says until the first customers have come.
async fn under_way(args: &[&str], temporary: &Path) -> (Child, Vec<Pid>) {
    let mut demo = demo(args, temporary);
    let mut lines = BufReader::new(demo.stderr.take().expect("it is a pipe")).lines();
    let first_customers = async {
        while let Some(line) = lines.next_line().await.expect("text") {
            if line.contains("requests/s") {
                return;
            }
        }
        panic!("the demo ended early");
    };
    timeout(DEMO_PATIENCE, first_customers).await.expect("the demo starts");
    // Read on, or the demo stops when the pipe is full.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    let pid = demo.id().expect("it runs");
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("Linux tells");
    let children: Vec<Pid> = children.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect();
    assert_eq!(children.len(), 11, "an analyzer, five services, five sidecars");
    (demo, children)
}

async fn assert_gone(children: &[Pid]) {
    let until = Instant::now() + PATIENCE;
    while children.iter().any(|child| test_kill_process(*child).is_ok()) {
        assert!(Instant::now() < until, "processes of the demo are left");
        sleep(Duration::from_millis(20)).await;
    }
}

fn assert_empty(folder: &Path) {
    let left: Vec<_> = std::fs::read_dir(folder).expect("it is there").flatten().map(|entry| entry.path()).collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}

fn pid(demo: &Child) -> Pid {
    demo.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)).expect("it runs")
}

#[tokio::test]
async fn ctrl_c_ends_the_demo_with_its_summary_and_leaves_nothing() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let (demo, children) = under_way(&[], temporary.path()).await;
    kill_process(pid(&demo), Signal::INT).expect("it runs");
    let output = timeout(DEMO_PATIENCE, demo.wait_with_output()).await.expect("it ends").expect("it ended");
    let summary = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{summary}");
    for part in ["0 failed", "frontend → api", "order → payment", "Critical path", "0 wrong", "0 lost"] {
        assert!(summary.contains(part), "{part:?} is not in the summary: {summary}");
    }
    assert_gone(&children).await;
    assert_empty(temporary.path());
}

#[tokio::test]
async fn a_killed_demo_takes_its_processes_along() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let (mut demo, children) = under_way(&[], temporary.path()).await;
    demo.kill().await.expect("it runs");
    assert_gone(&children).await;
}

#[tokio::test]
async fn a_data_folder_is_kept_and_counted_afresh() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let data = temporary.path().join("data").display().to_string();
    for _ in 0..2 {
        let output = demo(&["--seconds", "1", "--json", "--data-dir", &data], temporary.path()).wait_with_output();
        let output = timeout(DEMO_PATIENCE, output).await.expect("it ends by itself").expect("it ended");
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        let found: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
        let (requests, traces, spans) = (&found["requests"], &found["traces"], &found["spans"]);
        // A request is one trace, and one more for each of its calls that is not linked; nine spans at most.
        let (requests, unlinked) = (requests.as_u64().expect("a number"), found["links"]["unlinked"].as_u64());
        assert_eq!(traces.as_u64(), unlinked.map(|unlinked| requests + unlinked), "each run counts its own: {found}");
        assert!(spans.as_u64().is_some_and(|spans| spans <= 9 * requests), "each run counts its own: {found}");
    }
    assert!(Path::new(&data).is_dir(), "the folder is kept");
}
