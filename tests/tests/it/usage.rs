//! Bad usage is one clear line that names what to do, and exit code 2.

use std::net::TcpListener;
use std::process::Stdio;

use raceway_tests::{PATIENCE, program};
use tokio::process::Command;
use tokio::time::timeout;

/// Runs the program with its stdin open, and returns how it ended.
pub(crate) async fn run(args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(program());
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    for (key, _) in std::env::vars_os() {
        if key.to_str().is_some_and(|key| key.starts_with("RACEWAY_") || key.starts_with("OTEL_")) {
            command.env_remove(key);
        }
    }
    let mut child = command.spawn().expect("the program starts");
    // Held open: a closed stdin is how sidecars and analyzers learn that their parent is gone.
    let stdin = child.stdin.take();
    let output = timeout(PATIENCE, child.wait_with_output()).await.unwrap_or_else(|_| panic!("{args:?} goes on"));
    drop(stdin);
    let output = output.expect("it ended");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// What is typed, and what the answer must name: the mistake, and the flag or value that would help.
const TABLE: [(&str, &str); 27] = [
    ("demo --sceonds 3", "--sceonds|--seconds"),
    ("demo --rate fast", "fast|--rate"),
    ("demo --concurrency 0", "0|--concurrency"),
    ("demo --listen localhost", "localhost|--listen"),
    ("demo --listen {taken}", "{taken}|in use|--listen"),
    ("demo --listen 127.0.0.1:0 --data-dir {unwritable}", "{unwritable}|--data-dir"),
    ("demmo", "demmo|demo"),
    ("completions tcl", "tcl|bash"),
    ("{sidecar} --inbound 127.0.0.1:0=127.0.0.1:9 --sevrice x", "--sevrice|--service"),
    ("{sidecar} --inbound 127.0.0.1:0=127.0.0.1:9 --analyzer not-a-url", "not-a-url|--analyzer|http://"),
    ("{sidecar} --inbound 127.0.0.1:0=127.0.0.1:9 --analyzer ftp://analyzer:4317", "ftp://analyzer:4317|http://"),
    ("{sidecar} --inbound 127.0.0.1:0=127.0.0.1:9 --route 127.0.0.1:0=payment", "--route|127.0.0.1:0=payment"),
    ("{sidecar} --inbound 127.0.0.1:0=127.0.0.1:9 --sample 2", "--sample|2"),
    ("{sidecar} --inbound 127.0.0.1:0=127.0.0.1:9 --link-policy perhaps", "perhaps|certain|likely|all"),
    ("{sidecar} --inbound 127.0.0.1:0=127.0.0.1:9 --threads 0", "--threads|0|1 to 64"),
    ("{sidecar} --inbound 127.0.0.1:0=127.0.0.1:9 --threads 65", "--threads|65|1 to 64"),
    ("{sidecar} --config {unwritable}", "{unwritable}|--config"),
    ("__proxy config --exmaple", "--exmaple|--example"),
    ("__proxy carriers env {unwritable}", "{unwritable}|carriers install"),
    ("__proxy carriers install {unwritable}", "{unwritable}|cannot write"),
    ("__proxy carriers install /a:b", "/a:b|colon"),
    ("{sidecar} --inbound here", "--inbound|here"),
    ("{sidecar} --inbound {taken}=127.0.0.1:9", "{taken}|in use"),
    ("{analyzer} --listen nowhere --data-dir {data}", "--listen|nowhere"),
    ("{analyzer} --listen 127.0.0.1:0 --data-dir {unwritable}", "{unwritable}|--data-dir"),
    ("{analyzer} --listen {taken} --data-dir {data}", "{taken}|in use"),
    ("{analyzer} --dta-dir {data}", "--dta-dir|--data-dir"),
];

#[tokio::test]
async fn bad_usage_is_one_clear_line_and_exit_code_2() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = listener.local_addr().expect("a bound listener has an address").to_string();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("file");
    std::fs::write(&file, "not a folder").expect("the folder can be written");
    // Not by permissions: the superuser may write everywhere, but not below a file.
    let unwritable = file.join("data").display().to_string();
    let data = folder.path().join("data").display().to_string();
    let fill = |text: &str| {
        text.replace("{sidecar}", "__proxy --service orders --admin 127.0.0.1:0")
            .replace("{analyzer}", "__analyzer --otlp-grpc 127.0.0.1:0 --otlp-http 127.0.0.1:0")
            .replace("{taken}", &taken)
            .replace("{unwritable}", &unwritable)
            .replace("{data}", &data)
    };
    let mut wrong = Vec::new();
    for (typed, named) in TABLE {
        let (typed, named) = (fill(typed), fill(named));
        let args: Vec<&str> = typed.split(' ').collect();
        let (code, stdout, stderr) = run(&args).await;
        let lines = stderr.lines().filter(|line| !line.is_empty()).count();
        let unnamed: Vec<&str> = named.split('|').filter(|name| !stderr.contains(name)).collect();
        if (code, stdout.as_str(), lines, unnamed.len()) != (Some(2), "", 1, 0) {
            wrong.push(format!(
                "{typed}: exit code {code:?}, {lines} lines, does not name {unnamed:?}: {stdout}{stderr}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn every_mistake_is_reported_and_not_just_the_first() {
    let args = ["__proxy", "--inbound", "here", "--analyzer", "not a url", "--sample", "2"];
    let (code, _, stderr) = run(&args).await;
    assert_eq!(code, Some(2));
    for flag in ["--inbound", "--analyzer", "--sample", "--service"] {
        assert!(stderr.contains(flag), "{flag} is not in {stderr}");
    }
}

#[tokio::test]
async fn help_and_completions_go_to_stdout_with_exit_code_0() {
    for (args, contains) in [
        (&["--help"][..], "raceway demo"),
        (&["demo", "--help"], "--concurrency"),
        (&["--version"], "raceway"),
        (&["completions", "bash"], "complete"),
        (&["completions", "zsh"], "#compdef raceway"),
        (&["completions", "fish"], "complete -c raceway"),
        (&["__proxy", "--help"], "--inbound"),
        (&["__analyzer", "--help"], "--data-dir"),
    ] {
        let (code, stdout, stderr) = run(args).await;
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{args:?}");
        assert!(stdout.contains(contains), "{args:?}: {stdout}");
        assert!(!stdout.contains("__proxy"), "{args:?} shows what is not for people");
    }
}
