//! Applications in other languages, standard library only, no tracing code: one trace all the same.

use std::process::Command;

use raceway_tests::analyzer::TraceExt;
use raceway_tests::{Stack, skip};

#[tokio::test]
async fn python_and_node_appear_in_one_trace() {
    for program in ["python3", "node"] {
        if !Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success()) {
            skip(&format!("{program} is not installed"));
            return;
        }
    }
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures");
    let stack = Stack::of(["shop -> python", "python -> node", "node -> stock"])
        .process("python", &["python3", &format!("{fixtures}/app.py")])
        .process("node", &["node", &format!("{fixtures}/app.mjs")])
        .start()
        .await;
    let answer = stack.get("/basket/1").await;
    assert_eq!(answer.text(), "shop");
    stack.analyzer().settle(7).await;

    let trace = stack.analyzer().only_trace().await;
    assert_eq!(
        trace.family(),
        [
            "node client < node server",
            "node server < python client",
            "python client < python server",
            "python server < shop client",
            "shop client < shop server",
            "shop server < -",
            "stock server < node client",
        ]
    );
    assert_eq!(stack.analyzer().edges().await, ["node -> stock", "python -> node", "shop -> python"]);
    stack.stop().await;
}
