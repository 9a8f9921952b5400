use proptest::prelude::*;

use super::*;
use crate::analysis::notation::{facts, spans};

/// The calls and entry points that spans add up to, in words: `frontend -> api (3)`, `-> frontend`.
fn graph(spans: &[Facts]) -> Vec<String> {
    let assembled = assemble(spans);
    let id = |at: usize| spans[at].span_id.get();
    let mut all: Vec<String> = assembled
        .calls
        .iter()
        .map(|call| {
            let key = id(call.client.or(call.server).expect("a call has a half"));
            format!("{} -> {} ({key:x})", call.from.name, call.to.name)
        })
        .chain(assembled.entries.iter().map(|&at| format!("-> {}", spans[at].service.name)))
        .collect();
    all.sort();
    all
}

/// What each table row shows, the spans, and what they add up to.
const TABLE: &[(&str, &str, &[&str])] = &[
    (
        "client and server span of one call are one edge, keyed by the client's",
        "a server 1   0-99
         a client 2<1 1-98
         b server 3<2 2-97",
        &["-> a", "a -> b (2)"],
    ),
    (
        "the callee's own name wins over what the caller calls it",
        "a client 2   1-98 peer=bee host=10.0.0.7
         b server 3<2 2-97",
        &["a -> b (2)"],
    ),
    ("without the callee: the route's name", "a client 2 1-98 peer=bee host=bee.svc:80", &["a -> bee (2)"]),
    ("without a name: the host, without its port", "a client 2 1-98 host=bee.svc:80", &["a -> bee.svc (2)"]),
    ("without anything: unknown", "a client 2 1-98", &["a -> unknown (2)"]),
    ("without the caller: the clock's service", "b server 3<2 2-97 caller=a/x", &["a -> b (3)"]),
    ("without a caller: an entry point and no edge", "b server 3<2 2-97", &["-> b"]),
    (
        "two sidecars in a row are one service",
        "a client 2   1-98
         b server 3<2 2-97
         b server 4<3 3-96 caller=b/x",
        &["a -> b (2)"],
    ),
    ("the inner of two sidecars alone", "b server 4<3 3-96 caller=b/x", &[]),
    (
        "an SDK's server span behind the sidecar's is no call",
        "a client 2   1-98
         b server 3<2 2-97 ns=shop
         b server 4<3 3-96 sdk",
        &["a -> b (2)"],
    ),
    (
        "a client span above a client span of one service: the innermost counts",
        "a server 1   0-99
         a client 2<1 1-98 sdk host=b
         a client 3<2 2-97
         b server 4<3 3-96",
        &["-> a", "a -> b (3)"],
    ),
    (
        "two sidecars outbound in a row",
        "a client 2   1-98 peer=second
         a client 3<2 2-97
         a client 4<3 3-96 peer=b
         b server 5<4 4-95",
        &["a -> b (4)"],
    ),
    (
        "the innermost of the caller, even where the callee's parent is the outer one",
        "a client 2   1-98 host=b
         a client 3<2 2-97 host=b
         b server 4<2 3-96",
        &["a -> b (4)", "a -> b (3)"],
    ),
    (
        "the application put its own request's id on a call that the sidecar could not stamp",
        "a server 1   0-99
         b server 2<1 1-98",
        &["-> a", "a -> b (2)"],
    ),
    (
        "the same, from a span of an SDK",
        "a server   1   0-99
         a internal 2<1 0-99 sdk
         b server   3<2 1-98",
        &["-> a", "a -> b (3)"],
    ),
    (
        "the tunnel that carried it is the same call",
        "a server 1   0-99
         a client 2<1 1-98 tcp host=b.example
         b server 3<1 2-97 host=b.example:443",
        &["-> a", "a -> b (3)"],
    ),
    (
        "a tunnel to elsewhere, or at another time, is not",
        "a server 1   0-99
         a client 2<1 1-98 tcp host=c.example
         a client 4<1 1-50 tcp host=b.example
         b server 3<1 2-97 host=b.example:443",
        &["-> a", "a -> b (3)", "a -> b.example (4)", "a -> c.example (2)"],
    ),
    (
        "an id that the sidecar made up stands for its request",
        "a server 1   0-99 app=7
         a client 2<7 1-98
         b server 3<2 2-97",
        &["-> a", "a -> b (2)"],
    ),
    (
        "Zipkin: both halves under one id",
        "a server 1   0-99
         a client 2<1 1-98 sdk
         b server 2<1 2-97 sdk
         b client 3<2 3-96 sdk
         c server 3<2 4-95 sdk",
        &["-> a", "a -> b (2)", "b -> c (3)"],
    ),
    (
        "one call that something on the way sent twice",
        "a client 2   1-98
         b server 3<2 2-40
         b server 4<2 42-97",
        &["a -> b (2)"],
    ),
    (
        "one call that something on the way sent to two",
        "a client 2   1-98
         b server 3<2 2-97
         c server 4<2 3-60",
        &["a -> b (2)", "a -> c (4)"],
    ),
    (
        "calls of an SDK that has no sidecar: each is one, the second names the first callee as its parent",
        "b server 11<a   0-10 caller=a/x
         c server 12<11 20-30 caller=a/x
         d server 13<12 40-50 caller=a/x",
        &["a -> b (11)", "a -> c (12)", "a -> d (13)"],
    ),
    ("a service that calls itself", "a client 2 1-98\n a server 3<2 2-97", &["a -> a (2)"]),
    (
        "one name in two environments is two services",
        "a client 2   1-98 env=live
         a server 3   1-98 env=live
         a server 4<3 2-97 env=test",
        &["-> a", "a -> a (4)", "a -> unknown (2)"],
    ),
    (
        "the same key with other content counts once",
        "a client 2   1-98
         a client 2   1-99
         b server 3<2 2-97",
        &["a -> b (2)"],
    ),
    (
        "producer and consumer",
        "a producer 1   0-1 peer=queue
         b consumer 2<1 5-9",
        &["a -> b (1)"],
    ),
];

#[test]
fn spans_add_up_to_calls() {
    for (what, spans, calls) in TABLE {
        let mut calls: Vec<&str> = calls.to_vec();
        calls.sort_unstable();
        assert_eq!(graph(&facts(spans)), calls, "{what}");
    }
}

#[test]
fn the_order_of_arrival_does_not_matter() {
    for (what, spans, _) in TABLE.iter().filter(|(what, ..)| !what.starts_with("the same key")) {
        let mut spans = facts(spans);
        let forward = graph(&spans);
        spans.reverse();
        assert_eq!(graph(&spans), forward, "{what}");
    }
}

/// Each span's parent in words: `3<2`, `2<-` for a root, `2<?` where the parent never came.
fn tree(text: &str) -> Vec<String> {
    let spans = facts(text);
    let assembled = assemble(&spans);
    let parents = spans.iter().zip(&assembled.parents).map(|(span, parent)| {
        let parent = match parent {
            Parent::Root => "-".to_owned(),
            Parent::Missing => "?".to_owned(),
            Parent::Span(at) => format!("{:x}", spans[*at].span_id.get()),
        };
        format!("{:x}<{parent}", span.span_id.get())
    });
    parents.collect()
}

#[test]
fn parents_are_mended() {
    let table: &[(&str, &str, &[&str])] = &[
        (
            "a made-up id stands for the request that it was made for",
            "a server 1 0-9 app=7\n a client 2<7 1-8",
            &["1<-", "2<1"],
        ),
        (
            "unless somebody reported it",
            "a server 1 0-9 app=7\n a internal 7<1 0-9 sdk\n a client 2<7 1-8",
            &["1<-", "7<1", "2<7"],
        ),
        ("an id that nobody reported", "a client 2<7 1-8", &["2<?"]),
        ("its own parent", "a server 2<2 1-8", &["2<-"]),
        ("each other's parents", "a server 1<2 0-9\n a server 2<1 0-9", &["1<?", "2<1"]),
        (
            "an SDK's second callee is not the child of its first",
            "a internal a 0-99 sdk
             b server 11<a   0-10 caller=a/x
             c server 12<11 20-30 caller=a/x
             d server 13<12 40-50 caller=a/x",
            &["a<-", "11<a", "12<a", "13<a"],
        ),
        (
            "the first callee's own callee is",
            "b/y server 11<a   0-10 caller=a/x
             c   server 12<11 20-30 caller=b/y",
            &["11<?", "12<11"],
        ),
        (
            "a callee that is of the caller itself stays a parent",
            "a/x server 11<a   0-10 caller=a/x
             b   server 12<11 20-30 caller=a/x",
            &["11<?", "12<11"],
        ),
        (
            "siblings in a circle",
            "b server 11<12  0-10 caller=a/x
             c server 12<11 20-30 caller=a/x",
            &["11<?", "12<?"],
        ),
    ];
    for (what, spans, parents) in table {
        assert_eq!(tree(spans), *parents, "{what}");
    }
}

/// How a call was tied to its cause, from what the sidecar wrote.
#[test]
fn links_are_certain_likely_or_unlinked() {
    use crate::analysis::facts::Certainty::{Certain, Likely, Unlinked};
    use crate::analysis::facts::is_unlinked_call;
    let table = [
        ("a client 2<1 0-9 method=header", Certain, 1.0),
        ("a client 2<1 0-9 method=carrier", Certain, 1.0),
        ("a client 2<1 0-9 method=process p=.9999", Likely, 0.9999),
        ("a client 2<1 0-9 method=thread p=.98", Likely, 0.98),
        ("a client 2<1 0-9 method=sole p=.99 candidates=1", Likely, 0.99),
        ("a client 2<1 0-9 method=bayes p=.93", Likely, 0.93),
        ("a client 2 0-9 method=root", Unlinked, 1.0),
        ("a client 2 0-9", Unlinked, 1.0),
        ("a client 2 0-9 sdk", Certain, 1.0),
        ("a client 2<1 0-9 sdk", Certain, 1.0),
        ("a client 2<1 0-9 method=sole p=7", Likely, 1.0),
        ("a client 2<1 0-9 method=hearsay", Certain, 1.0),
    ];
    for (line, certainty, p) in table {
        let link = facts(line)[0].link;
        assert_eq!((link.certainty, link.p), (certainty, p), "{line}");
        assert_eq!(is_unlinked_call(&spans(line)[0]), certainty == Unlinked, "{line}");
    }
}

#[test]
fn a_trace_under_one_id_takes_no_longer_than_another() {
    let one = &spans("a server 1<2 0-9")[0];
    let many: Vec<Facts> = (0..50_000).map(|_| crate::analysis::notation::facts_of(one)).collect();
    assert_eq!(assemble(&many).entries.len(), 1);
}

proptest! {
    /// Whatever comes: no panic, no circle, every call has a half, every request is in at most one.
    #[test]
    fn any_spans_assemble(spans in proptest::collection::vec((0u8..4, 1u64..12, 0u64..12, 0u8..3, 0u8..4, 0u64..12), 0..40)) {
        let kinds = ["server", "client", "internal", "consumer"];
        let text: Vec<String> = spans
            .iter()
            .map(|(kind, id, parent, service, caller, app)| {
                let parent = if *parent == 0 { String::new() } else { format!("<{parent:x}") };
                let caller = if *caller == 3 { String::new() } else { format!("caller=s{caller}") };
                let app = if *app == 0 { String::new() } else { format!("app={app:x}") };
                format!("s{service} {} {id:x}{parent} 0-9 {caller} {app}", kinds[usize::from(*kind)])
            })
            .collect();
        let spans = facts(&text.join("\n"));
        let assembled = assemble(&spans);
        for start in 0..spans.len() {
            let mut at = Some(start);
            for _ in 0..=spans.len() {
                at = at.and_then(|at| assembled.parents[at].span());
            }
            prop_assert_eq!(at, None, "a circle");
        }
        let mut answered: Vec<usize> = assembled.calls.iter().filter_map(|call| call.server).chain(assembled.entries.iter().copied()).collect();
        let all = answered.len();
        answered.sort_unstable();
        answered.dedup();
        prop_assert_eq!(answered.len(), all, "a request in two calls");
        prop_assert!(assembled.calls.iter().all(|call| call.client.or(call.server).is_some()));
    }
}
