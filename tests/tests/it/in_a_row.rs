//! Two sidecars in front of one service: two spans, one edge.

use raceway_tests::Stack;
use raceway_tests::analyzer::TraceExt;

#[tokio::test]
async fn two_sidecars_in_a_row_make_one_edge() {
    let stack = Stack::of(["frontend -> api", "api -> auth"]).sidecars("api", 2).start().await;
    stack.get("/login").await;
    stack.settle().await;
    let trace = stack.analyzer().only_trace().await;
    assert_eq!(
        trace.family(),
        [
            "api client < api server",
            "api server < api server",
            "api server < frontend client",
            "auth server < api client",
            "frontend client < frontend server",
            "frontend server < -",
        ]
    );
    assert_eq!(stack.analyzer().edges().await, ["api -> auth", "frontend -> api"]);
    for edge in stack.analyzer().edge_list().await {
        assert_eq!(edge.call_count, 1, "{edge:?}");
    }
    stack.stop().await;
}
