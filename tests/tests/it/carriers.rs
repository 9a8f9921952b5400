//! Carriers: applications that forward nothing, many requests at once, and every call in the trace of its request.

use raceway_analyzer::api::types::SpanKind;
use raceway_tests::Stack;
use raceway_tests::analyzer::TraceExt;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::conversations::peers::{installed, python};
use crate::usage;

/// Requests in each way, and how many of all are in flight at once.
const REQUESTS: usize = 24;
const IN_FLIGHT: usize = 16;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/carried");

#[tokio::test]
async fn node_calls_land_in_the_trace_of_their_request() {
    if !installed("node") {
        return;
    }
    let ways = ["get", "namespace", "required", "list", "pairs", "post", "fetch"];
    every_call_is_certain(&["node", &format!("{FIXTURES}/app.mjs")], &ways).await;
}

#[tokio::test]
async fn python_threads_calls_land_in_the_trace_of_their_request() {
    let Some(python) = python() else { return };
    every_call_is_certain(
        &[&python.to_string_lossy(), &format!("{FIXTURES}/threads.py")],
        &["connection", "urllib", "pool"],
    )
    .await;
}

#[tokio::test]
async fn python_tasks_calls_land_in_the_trace_of_their_request() {
    let Some(python) = python() else { return };
    every_call_is_certain(
        &[&python.to_string_lossy(), &format!("{FIXTURES}/tasks.py")],
        &["session", "task", "executor"],
    )
    .await;
}

#[tokio::test]
async fn calls_behind_python_servers_land_in_the_trace_of_their_request() {
    let Some(python) = python() else { return };
    let python = python.to_string_lossy();
    let served = format!("{FIXTURES}/served.py");
    every_call_is_certain(&[&python, &served, "gunicorn"], &["requests"]).await;
    every_call_is_certain(&[&python, &served, "uvicorn"], &["httpx", "blocking"]).await;
    every_call_is_certain(&[&python, &served, "tornado"], &["httpx", "blocking"]).await;
}

#[tokio::test]
async fn node_carries_contexts_over_http2() {
    if !installed("node") {
        return;
    }
    let carriers = Installed::new().await;
    let output = tokio::process::Command::new("node")
        .arg(format!("{FIXTURES}/http2.mjs"))
        .env("NODE_OPTIONS", carriers.value("NODE_OPTIONS"))
        .output()
        .await
        .expect("it starts");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "one two own undefined", "{output:?}");
}

/// Sends requests, and compares each trace with the path that all its spans must share: the truth, as an application
/// asks for the path that it is asked for.
async fn every_call_is_certain(command: &[&str], ways: &[&str]) {
    let installed = Installed::new().await;
    let mut carried = vec!["env".to_owned()];
    carried.extend(installed.environment.iter().cloned());
    carried.extend(command.iter().map(|&word| word.to_owned()));
    let words: Vec<&str> = carried.iter().map(String::as_str).collect();
    let stack = Stack::of(["orders -> stock"]).process("orders", &words).start().await;

    let mut paths: Vec<String> =
        (0..REQUESTS).flat_map(|number| ways.iter().map(move |way| format!("/{way}/{number}"))).collect();
    let requests = paths.len();
    let mut asking = JoinSet::new();
    while let Some(path) = paths.pop() {
        if asking.len() == IN_FLIGHT {
            asking.join_next().await;
        }
        let door = stack.door();
        asking.spawn(async move {
            let answer = raceway_tests::http::get(door, &path, &[]).await;
            assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        });
    }
    while let Some(asked) = asking.join_next().await {
        asked.expect("each is answered");
    }
    stack.analyzer().settle(3 * requests as u64).await;
    let traces = stack.analyzer().traces().await;
    assert_eq!(traces.len(), requests, "a trace for each request");
    for trace in &traces {
        let path = |kind, service| trace.span(service, kind).attributes.get("url.path").cloned();
        let asked = path(SpanKind::Server, "orders");
        assert_eq!(path(SpanKind::Client, "orders"), asked, "{:?}", trace.family());
        assert_eq!(path(SpanKind::Server, "stock"), asked, "{:?}", trace.family());
        let call = trace.span("orders", SpanKind::Client);
        assert_eq!(call.attributes.get("raceway.parent.p"), None, "certain: {call:?}");
        assert_eq!(call.parent_span_id.as_ref(), Some(&trace.span("orders", SpanKind::Server).span_id));
    }

    // What the application itself says about its calls stands.
    let own = "ab".repeat(16);
    let answer = stack.get("/own/1").await;
    assert_eq!(answer.status, 200);
    let seen = stack.app("stock").seen().pop().expect("it was asked");
    assert!(seen.header("traceparent").is_some_and(|context| context.contains(&own)), "{seen:?}");
    stack.stop().await;
}

/// The carriers, written out.
struct Installed {
    /// `NAME=VALUE`.
    environment: Vec<String>,
    _folder: TempDir,
}

impl Installed {
    /// The value of a variable.
    fn value(&self, name: &str) -> String {
        let value = self.environment.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        value.expect("it is printed").to_owned()
    }

    async fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("raceway carriers ").tempdir().expect("a temporary folder");
        let dir = folder.path().to_str().expect("a plain path");
        let (code, told, problem) = usage::run(&["__proxy", "carriers", "install", dir]).await;
        assert_eq!(code, Some(0), "{problem}");
        Self { environment: told.lines().map(str::to_owned).collect(), _folder: folder }
    }
}

#[tokio::test]
async fn pythons_own_sitecustomize_is_loaded_all_the_same() {
    let Some(python) = python() else { return };
    let installed = Installed::new().await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = installed.value("PYTHONPATH");
    let own = folder.path().display();
    let ask = "import sys, raceway_carrier as r, sitecustomize as s; print(getattr(s, 'MINE', None), len(sys.path))";
    let run = async |path: &str, options: &[&str]| {
        let mut args: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        args.extend(["-B".to_owned(), "-c".to_owned(), ask.to_owned()]);
        let output = tokio::process::Command::new(&python).args(&args).env("PYTHONPATH", path).output().await;
        let output = output.expect("it starts");
        (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (bare, problem) = run(&path, &[]).await;
    assert!(bare.starts_with("None "), "{bare}{problem}");
    let entries: usize = bare.trim().rsplit(' ').next().and_then(|count| count.parse().ok()).expect("a number");
    // Before ours or behind it, the other one is loaded once, and the path is as it was written.
    std::fs::write(
        folder.path().join("sitecustomize.py"),
        "MINE = 'mine'\nimport sys\nsys.stderr.write('loaded\\n')\n",
    )
    .expect("a folder of ours");
    let (behind, problem) = run(&format!("{path}:{own}"), &[]).await;
    assert_eq!((behind.trim(), problem.trim()), (&*format!("mine {}", entries + 1), "loaded"));
    // One that fails says so as it did, and the application starts.
    std::fs::write(folder.path().join("sitecustomize.py"), "import no_such_module\n").expect("a folder of ours");
    let (failing, problem) = run(&format!("{path}:{own}"), &[]).await;
    assert!(problem.contains("no_such_module"), "{failing}{problem}");
    // Who wants nothing from the environment gets nothing.
    let (isolated, problem) = run(&path, &["-E"]).await;
    assert!(isolated.is_empty() && problem.contains("raceway_carrier"), "{isolated}{problem}");
}

#[tokio::test]
async fn a_node_carrier_that_is_named_twice_is_loaded_once() {
    if !installed("node") {
        return;
    }
    let carriers = Installed::new().await;
    let options = carriers.value("NODE_OPTIONS");
    let ask = "const http = require('http'); console.log(http.request.toString().split('original.apply').length - 1);\
               console.log(typeof http.Server.prototype.emit, Object.keys(process).length > 0)";
    let output = tokio::process::Command::new("node")
        .args(["-e", ask])
        .env("NODE_OPTIONS", format!("{options} {options}"))
        .env("RACEWAY_CARRIER", "debug")
        .output()
        .await
        .expect("it starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    assert_eq!(said.lines().collect::<Vec<_>>(), ["2", "function true"]);
}
