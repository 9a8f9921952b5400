use proptest::prelude::*;

use super::savings::Plan;
use super::*;
use crate::analysis::assemble::assemble;
use crate::analysis::facts::Facts;
use crate::analysis::notation::{EPOCH_NS, MS, facts};

fn timed(spans: &[Facts]) -> Vec<Timed> {
    let assembled = assemble(spans);
    let time = |ns: u64| ns as i64 - EPOCH_NS as i64;
    let all = spans.iter().zip(&assembled.parents).map(|(span, parent)| Timed {
        start: time(span.start_ns),
        end: time(span.end_ns),
        parent: parent.span(),
        awaited: span.kind != raceway_analyzer_client::Kind::Consumer,
    });
    all.collect()
}

/// The path as services with their share, `auth 150`; the total; and for some services what would be saved, and the slack.
struct Found {
    steps: Vec<String>,
    total_ms: i64,
    spans: Vec<Facts>,
    tree: Tree,
}

fn found(text: &str) -> Found {
    let spans = facts(text);
    let tree = Tree::new(&timed(&spans), 0);
    let sections = tree.sections();
    let mut steps: Vec<(String, i64)> = Vec::new();
    for section in &sections {
        let name = spans[section.span].service.name.to_string();
        let ms = (section.end - section.start) / MS as i64;
        match steps.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sum)) => *sum += ms,
            None => steps.push((name, ms)),
        }
    }
    let total_ms = steps.iter().map(|(_, ms)| ms).sum();
    Found { steps: steps.iter().map(|(name, ms)| format!("{name} {ms}")).collect(), total_ms, spans, tree }
}

impl Found {
    fn saved_ms(&self, service: &str) -> i64 {
        Plan::new(&self.tree).saved(|at| &*self.spans[at].service.name == service) / MS as i64
    }

    fn slack_ms(&self, service: &str) -> i64 {
        let slack = Plan::new(&self.tree).slack();
        let of = |(at, slack): (usize, &Option<i64>)| slack.filter(|_| &*self.spans[at].service.name == service);
        slack.iter().enumerate().filter_map(of).min().expect("in the tree") / MS as i64
    }
}

/// frontend 50, api 100, auth 150, order 300, payment 250 ms of own time, one after the other.
const IN_TURN: &str = "frontend server 1   0-850
    frontend client 2<1 25-825
    api      server 3<2 25-825
    api      client 4<3 75-225
    auth     server 5<4 75-225
    api      client 6<3 225-775
    order    server 7<6 225-775
    order    client 8<7 525-775
    payment  server 9<8 525-775";

#[test]
fn services_working_in_turn_are_all_on_the_path() {
    let found = found(IN_TURN);
    assert_eq!(found.total_ms, 850);
    assert_eq!(found.steps, ["frontend 50", "api 100", "auth 150", "order 300", "payment 250"]);
    for (service, ms) in [("frontend", 50), ("api", 100), ("auth", 150), ("order", 300), ("payment", 250)] {
        assert_eq!((found.saved_ms(service), found.slack_ms(service)), (ms, 0), "{service}");
    }
}

#[test]
fn a_service_whose_time_includes_its_callee_has_only_the_rest() {
    let found = found(
        "frontend server 1   0-600
         frontend client 2<1 25-575
         api      server 3<2 25-575
         api      client 4<3 75-225
         auth     server 5<4 75-225
         api      client 6<3 225-525
         order    server 7<6 225-525
         order    client 8<7 250-500
         payment  server 9<8 250-500",
    );
    assert_eq!(found.total_ms, 600);
    assert_eq!(found.steps, ["frontend 50", "api 100", "auth 150", "order 50", "payment 250"]);
}

#[test]
fn what_runs_beside_something_slower_is_off_the_path() {
    let found = found(
        "frontend server 1   0-700
         frontend client 2<1 25-675
         api      server 3<2 25-675
         api      client 4<3 75-225
         auth     server 5<4 75-225
         api      client 6<3 75-625
         order    server 7<6 75-625
         order    client 8<7 375-625
         payment  server 9<8 375-625",
    );
    assert_eq!(found.total_ms, 700);
    assert_eq!(found.steps, ["frontend 50", "api 100", "order 300", "payment 250"]);
    assert_eq!((found.slack_ms("auth"), found.saved_ms("auth")), (400, 0));
    assert_eq!(found.saved_ms("order"), 300);
}

#[test]
fn what_is_saved_ends_where_something_else_becomes_critical() {
    let found = found(
        "a server 1   0-100
         b server 2<1 0-100
         c server 3<1 0-70",
    );
    assert_eq!(found.steps, ["b 100"]);
    assert_eq!((found.saved_ms("b"), found.slack_ms("c")), (30, 30));
}

#[test]
fn the_network_is_the_callers_time() {
    let found = found("a server 1 0-100\n a client 2<1 10-90\n b server 3<2 30-80");
    assert_eq!(found.steps, ["a 50", "b 50"]);
}

#[test]
fn sections_of_odd_trees() {
    let table: &[(&str, &str, &[&str])] = &[
        (
            "a child that ends where another begins",
            "a server 1 0-10\n b server 2<1 0-5\n c server 3<1 5-10",
            &["b 5", "c 5"],
        ),
        ("a child that outlives its parent is cut", "a server 1 0-10\n b server 2<1 5-30", &["a 5", "b 5"]),
        (
            "one that ended in time goes before one that was cut",
            "a server 1 0-10\n b server 2<1 8-30\n c server 3<1 2-10",
            &["a 2", "c 8"],
        ),
        ("a child that began too early is cut", "a server 1 10-20\n b server 2<1 0-15", &["b 5", "a 5"]),
        ("a child elsewhere in time is left out", "a server 1 10-20\n b server 2<1 30-40", &["a 10"]),
        (
            "a grandchild is cut to what is left of its parent",
            "a server 1 0-10\n b server 2<1 5-30\n c server 3<2 7-30",
            &["a 5", "b 2", "c 3"],
        ),
        ("nobody waits for a consumer", "a server 1 0-10\n a producer 2<1 2-3\n b consumer 3<2 2-9", &["a 10"]),
        (
            "overlapping children: the last to end, then what ended before it began",
            "a server 1 0-10\n b server 2<1 0-6\n c server 3<1 4-10\n d server 4<1 1-3",
            &["a 2", "d 2", "c 6"],
        ),
        ("a span of no length", "a server 1 0-0", &[]),
    ];
    for (what, spans, steps) in table {
        assert_eq!(found(spans).steps, *steps, "{what}");
    }
}

proptest! {
    /// Whatever the parents and times: the sections are disjoint and cover the root exactly, taking nothing away saves
    /// nothing, taking all away saves all, and nothing on the path has slack.
    #[test]
    fn sections_tile_the_root(spans in proptest::collection::vec((-50i64..50, 0i64..60, proptest::option::of(0usize..24), any::<bool>()), 1..24), root in 0usize..24) {
        let spans: Vec<Timed> = spans.into_iter().map(|(start, length, parent, awaited)| Timed { start, end: start + length, parent, awaited }).collect();
        let root = root % spans.len();
        let tree = Tree::new(&spans, root);
        let sections = tree.sections();
        let mut at = spans[root].start;
        for section in &sections {
            prop_assert_eq!(section.start, at);
            prop_assert!(section.end > section.start);
            at = section.end;
        }
        prop_assert_eq!(at, spans[root].end);
        let plan = Plan::new(&tree);
        prop_assert_eq!(plan.saved(|_| false), 0);
        prop_assert_eq!(plan.saved(|_| true), spans[root].end - spans[root].start);
        let slack = plan.slack();
        for section in &sections {
            prop_assert_eq!(slack[section.span], Some(0));
        }
        prop_assert!(slack.iter().flatten().all(|&slack| slack >= 0));
        for at in 0..spans.len() {
            let own: i64 = sections.iter().filter(|section| section.span == at).map(|section| section.end - section.start).sum();
            let saved = plan.saved(|span| span == at);
            prop_assert!(0 <= saved && saved <= own, "{at}: {saved} of {own}");
        }
    }
}

#[test]
fn a_long_chain_and_a_wide_fan_are_no_trouble() {
    let chain: Vec<Timed> = (0..100_000)
        .map(|at: i64| Timed { start: at, end: 300_000 - at, parent: (at > 0).then(|| at as usize - 1), awaited: true })
        .collect();
    assert_eq!(Tree::new(&chain, 0).sections().len(), 199_999);
    let fan: Vec<Timed> = (0..100_000)
        .map(|at: i64| Timed {
            start: at,
            end: if at == 0 { 200_000 } else { at + 1 },
            parent: (at > 0).then_some(0),
            awaited: true,
        })
        .collect();
    let tree = Tree::new(&fan, 0);
    assert_eq!(tree.sections().len(), 100_001);
    assert_eq!(Plan::new(&tree).slack().iter().flatten().filter(|&&slack| slack == 0).count(), 100_000);
}
