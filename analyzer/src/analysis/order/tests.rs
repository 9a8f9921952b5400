use proptest::prelude::*;
use raceway_trace::order::Order::{After, Before, Concurrent, Same, Unknown};

use super::*;
use crate::analysis::assemble::assemble;
use crate::analysis::notation::{facts_of, spans};

fn orders(text: &str) -> (Vec<Reported>, Vec<Facts>, Assembled, Orders) {
    let reported = spans(text);
    let facts: Vec<Facts> = reported.iter().map(facts_of).collect();
    let assembled = assemble(&facts);
    let orders = Orders::new(&reported, &facts, &assembled);
    (reported, facts, assembled, orders)
}

/// api calls auth, and after its answer order; both links as `method` says.
fn shop(first: &str, second: &str) -> String {
    format!(
        r#"api   server 1   0-99  strand=api#x~1   receive=[["api#x~1",1]] respond=[["auth#y~1",2],["order#z~1",2],["api#x~1",8]] end=9
           api   client 2<1 10-30 strand=api#x~1   send=[["api#x~1",3]]    reply=[["auth#y~1",2],["api#x~1",4]] end=5 {first}
           auth  server 3<2 11-29 strand=auth#y~1  receive=[["api#x~1",3],["auth#y~1",1]] respond=[["api#x~1",3],["auth#y~1",2]] end=3
           api   client 4<1 40-80 strand=api#x~1   send=[["auth#y~1",2],["api#x~1",7]] reply=[["auth#y~1",2],["order#z~1",2],["api#x~1",8]] end=9 {second}
           order server 5<4 41-79 strand=order#z~1 receive=[["auth#y~1",2],["api#x~1",7],["order#z~1",1]] respond=[["auth#y~1",2],["api#x~1",7],["order#z~1",2]] end=3"#
    )
}

#[test]
fn certain_links_make_definite_orders() {
    let (.., orders) = orders(&shop("", ""));
    let table = [
        ((0, 0), Same),
        ((2, 4), Before), // auth's body ended at its tick 3, as api saw at its own 5, before it sent at 7
        ((1, 3), Before),
        ((3, 1), After),
        ((0, 2), Concurrent), // a parent and its child overlap
    ];
    for ((a, b), order) in table {
        assert_eq!(orders.order(a, b), (order, Sure::Definite), "{a} {b}");
    }
}

#[test]
fn an_answer_still_under_way_is_ordered_by_nothing() {
    // api read the end of auth's body only after it had called order.
    let (.., orders) = orders(&shop("", "").replace("end=5", "end=9"));
    assert_eq!(orders.order(2, 4), (Concurrent, Sure::Definite));
}

#[test]
fn what_a_likely_link_has_touched_is_never_definite() {
    let (.., orders) = orders(&shop("method=sole p=.99", ""));
    // auth was called by a call that perhaps was not api's: its clock reached order all the same.
    assert_eq!(orders.order(1, 3), (Before, Sure::Likely));
    assert_eq!(orders.order(2, 4).1, Sure::Likely);
    assert_eq!(orders.order(0, 4), (Concurrent, Sure::Definite), "api and order overlap whatever auth did");
}

#[test]
fn spans_without_clocks_are_in_no_known_order() {
    let (.., orders) = orders("a server 1 0-99 sdk\n a internal 2<1 1-9 sdk\n b server 3 0-9 strand=b#x~1");
    for pair in [(0, 1), (0, 2), (1, 2)] {
        assert_eq!(orders.order(pair.0, pair.1), (Unknown, Sure::Unknown));
    }
}

#[test]
fn a_missing_span_makes_an_order_unknown_and_never_concurrent() {
    let text = shop("", "").lines().filter(|line| !line.contains(" client 4")).collect::<Vec<_>>().join("\n");
    let text = text.replace("[\"auth#y~1\",2],[\"api#x~1\",7],", "[1],");
    let (.., orders) = orders(&text);
    assert_eq!(orders.order(2, 3), (Unknown, Sure::Unknown));
}

fn vector(entries: &[(String, u64)]) -> Vec<String> {
    let mut all: Vec<String> = entries.iter().map(|(name, tick)| format!("{name}:{tick}")).collect();
    all.sort();
    all
}

#[test]
fn vectors_are_recomputed_over_the_certain_links() {
    let (_, facts, assembled, all) = orders(&shop("", ""));
    let vectors = Vectors::new(&facts, &assembled, &all);
    assert_eq!(vector(&vectors.start(4)), ["api#x~1:6", "auth#y~1:3", "order#z~1:1"]);
    let (_, facts, assembled, all) = orders(&shop("method=sole p=.99", ""));
    let vectors = Vectors::new(&facts, &assembled, &all);
    assert_eq!(vector(&vectors.start(4)), ["api#x~1:6", "order#z~1:1"], "no word of auth");
    assert_eq!(vector(&vectors.start(2)), ["api#0000000000000002:2", "auth#y~1:1"], "nor of api's strand");
}

#[test]
fn events_come_in_causal_order_even_where_clocks_are_wrong() {
    // auth's machine is 50 ms behind.
    let text = shop("", "").replace("11-29", "-39--21");
    let text = text.replace("-39--21", "0.5-1");
    let (_, facts, assembled, all) = orders(&text);
    let times: Vec<(i64, i64)> = facts.iter().map(|span| (span.start_ns as i64, span.end_ns as i64)).collect();
    let sequence: Vec<(usize, bool)> = Sequence::new(&facts, &assembled, &all, &times).iter().collect();
    let place = |span: usize, end: bool| sequence.iter().position(|&at| at == (span, end)).unwrap();
    assert!(place(1, false) < place(2, false), "the call comes before the request");
    assert!(place(2, true) < place(1, true));
    assert_eq!(sequence.len(), 2 * facts.len());
}

proptest! {
    /// Hostile clocks: no panic, and no order both ways.
    #[test]
    fn any_clocks_are_survived(
        spans in proptest::collection::vec((any::<bool>(), 1u64..9, 0u64..9, 0usize..4, 0u64..6, 0u64..6, 0u64..6, 0usize..4), 1..14)
    ) {
        let strands = ["a#x~1", "b#y~1", "c#z~1", "d"];
        let text: Vec<String> = spans.iter().map(|(server, id, parent, strand, one, two, end, other)| {
            let (kind, first, second) = if *server { ("server", "receive", "respond") } else { ("client", "send", "reply") };
            let parent = if *parent == 0 { String::new() } else { format!("<{parent}") };
            let (own, other) = (strands[*strand], strands[*other]);
            format!(r#"s{strand} {kind} {id}{parent} 0-9 strand={own} {first}=[["{own}",{one}],["{other}",{two}]] {second}=[["{own}",{two}],["{other}",{one}]] end={end}"#)
        }).collect();
        let (_, facts, assembled, orders) = orders(&text.join("\n"));
        for a in 0..facts.len() {
            for b in 0..facts.len() {
                prop_assert_eq!(orders.order(a, b).0, orders.order(b, a).0.reverse());
            }
        }
        let _ = Vectors::new(&facts, &assembled, &orders);
        let times = vec![(0, 1); facts.len()];
        let mut all: Vec<_> = Sequence::new(&facts, &assembled, &orders, &times).iter().collect();
        all.sort_unstable();
        all.dedup();
        prop_assert_eq!(all.len(), facts.len() * 2);
    }
}
