//! The beginnings, heads and ends of a trace's spans as one graph: what may be said to have come before what, and the
//! vector clocks that follow from the certain part of it.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::super::assemble::{Assembled, Parent};
use super::super::facts::Facts;
use super::Orders;

/// Entries of one vector clock, as on the wire; of more, those heard of last are kept.
const ENTRIES_MAX: usize = 128;
/// Larger traces have no vectors: three of them for each span would take more memory than one answer is worth.
const VECTORS_SPANS_MAX: usize = 5_000;

/// What happens in a span that others may know of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Moment {
    Start = 0,
    /// The head of the answer.
    Head = 1,
    End = 2,
}

const MOMENTS: usize = 3;

fn event(span: usize, moment: Moment) -> usize {
    span * MOMENTS + moment as usize
}

/// Which event comes directly before which.
struct Graph {
    after: Vec<Vec<usize>>,
    before: Vec<usize>,
}

impl Graph {
    fn new(spans: &[Facts], assembled: &Assembled, orders: &Orders, certain: bool) -> Self {
        let events = spans.len() * MOMENTS;
        let mut graph = Self { after: vec![Vec::new(); events], before: vec![0; events] };
        let doubtful =
            |at: usize| certain && orders.ticks.get(at).and_then(Option::as_ref).is_some_and(|ticks| ticks.likely);
        for at in 0..spans.len() {
            graph.edge(event(at, Moment::Start), event(at, Moment::Head));
            graph.edge(event(at, Moment::Head), event(at, Moment::End));
            if let Some(Parent::Span(parent)) = assembled.parents.get(at)
                && !doubtful(at)
            {
                graph.edge(event(*parent, Moment::Start), event(at, Moment::Start));
            }
        }
        for (client, server) in assembled.calls.iter().filter_map(|call| call.client.zip(call.server)) {
            let joined = |ticks: &super::Ticks| ticks.head_clock.is_some();
            if orders.ticks.get(client).and_then(Option::as_ref).is_some_and(joined) {
                graph.edge(event(server, Moment::Head), event(client, Moment::Head));
                graph.edge(event(server, Moment::End), event(client, Moment::End));
            }
        }
        for strand in strands(orders, doubtful).values_mut() {
            strand.sort_unstable();
            for pair in strand.windows(2) {
                if let [(earlier, before), (later, after)] = pair
                    && earlier < later
                {
                    graph.edge(*before, *after);
                }
            }
        }
        graph
    }

    fn edge(&mut self, before: usize, after: usize) {
        if let (Some(list), Some(count)) = (self.after.get_mut(before), self.before.get_mut(after)) {
            list.push(after);
            *count += 1;
        }
    }

    /// All events, causes before effects, else by `time`; what stands in a circle comes last.
    fn sorted(&self, time: impl Fn(usize) -> i64) -> Vec<usize> {
        let mut waiting = self.before.clone();
        let free = |at: usize| Reverse((time(at), at));
        let mut ready: BinaryHeap<_> =
            waiting.iter().enumerate().filter(|&(_, &count)| count == 0).map(|(at, _)| free(at)).collect();
        let mut sorted = Vec::with_capacity(waiting.len());
        while let Some(Reverse((_, at))) = ready.pop() {
            sorted.push(at);
            for &next in self.after.get(at).into_iter().flatten() {
                if let Some(count) = waiting.get_mut(next) {
                    *count -= 1;
                    if *count == 0 {
                        ready.push(free(next));
                    }
                }
            }
        }
        let mut stuck: Vec<usize> =
            waiting.iter().enumerate().filter(|&(_, &count)| count > 0).map(|(at, _)| at).collect();
        stuck.sort_unstable_by_key(|&at| (time(at), at));
        sorted.append(&mut stuck);
        sorted
    }
}

/// The events of every strand with their ticks.
fn strands(orders: &Orders, doubtful: impl Fn(usize) -> bool) -> HashMap<&str, Vec<(u64, usize)>> {
    let mut strands: HashMap<&str, Vec<(u64, usize)>> = HashMap::new();
    for (at, ticks) in orders.ticks.iter().enumerate() {
        let Some(ticks) = ticks.as_ref().filter(|ticks| ticks.strand.has_strand() && !doubtful(at)) else { continue };
        let strand = strands.entry(ticks.strand.as_str()).or_default();
        strand.push((ticks.start, event(at, Moment::Start)));
        strand.extend(ticks.head.map(|head| (head, event(at, Moment::Head))));
        strand.push((ticks.end, event(at, Moment::End)));
    }
    strands
}

/// Beginnings and ends of spans, causes before effects.
pub(crate) struct Sequence(Vec<(usize, bool)>);

impl Sequence {
    /// `times` are the spans' beginnings and ends on a common clock; they decide where causes do not.
    pub(crate) fn new(spans: &[Facts], assembled: &Assembled, orders: &Orders, times: &[(i64, i64)]) -> Self {
        let graph = Graph::new(spans, assembled, orders, false);
        let time = |at: usize| {
            let (start, end) = times.get(at / MOMENTS).copied().unwrap_or_default();
            if at % MOMENTS == Moment::End as usize { end } else { start }
        };
        let sorted = graph.sorted(time).into_iter().filter(|at| at % MOMENTS != Moment::Head as usize);
        Self(sorted.map(|at| (at / MOMENTS, at % MOMENTS == Moment::End as usize)).collect())
    }

    /// The spans' positions, each twice: with `false` where it begins, with `true` where it ends.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, bool)> {
        self.0.iter().copied()
    }
}

/// Vector clocks over the certain links alone.
#[derive(Default)]
pub(crate) struct Vectors {
    names: Vec<String>,
    /// Per event: processes and their ticks.
    at: Vec<Vec<(usize, u64)>>,
}

impl Vectors {
    pub(crate) fn new(spans: &[Facts], assembled: &Assembled, orders: &Orders) -> Self {
        if spans.len() > VECTORS_SPANS_MAX {
            return Self::default();
        }
        let graph = Graph::new(spans, assembled, orders, true);
        let (names, processes) = processes(spans, orders);
        let mut at: Vec<Vec<(usize, u64)>> = vec![Vec::new(); spans.len() * MOMENTS];
        for here in graph.sorted(|_| 0) {
            let span = here / MOMENTS;
            let tick = orders.ticks.get(span).and_then(Option::as_ref).and_then(|ticks| match here % MOMENTS {
                0 => Some(ticks.start),
                1 => ticks.head,
                _ => Some(ticks.end),
            });
            let own = processes.get(span).copied().flatten().zip(tick);
            let Some(vector) = at.get_mut(here) else { continue };
            if let Some((process, tick)) = own {
                merge(vector, &[(process, tick)]);
            }
            let vector = vector.clone();
            for &next in graph.after.get(here).into_iter().flatten() {
                if let Some(next) = at.get_mut(next) {
                    merge(next, &vector);
                }
            }
        }
        Self { names, at }
    }

    /// What had definitely happened before a span began.
    pub(crate) fn start(&self, span: usize) -> Vec<(String, u64)> {
        self.named(event(span, Moment::Start))
    }

    /// What had definitely happened when it was over.
    pub(crate) fn end(&self, span: usize) -> Vec<(String, u64)> {
        self.named(event(span, Moment::End))
    }

    fn named(&self, event: usize) -> Vec<(String, u64)> {
        let vector = self.at.get(event).into_iter().flatten();
        vector.filter_map(|&(process, tick)| Some((self.names.get(process)?.clone(), tick))).collect()
    }
}

/// Whose ticks each span's are: its strand's, or its own where its place on the strand is only likely.
fn processes(spans: &[Facts], orders: &Orders) -> (Vec<String>, Vec<Option<usize>>) {
    let mut names = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    let processes = spans.iter().zip(&orders.ticks).map(|(span, ticks)| {
        let ticks = ticks.as_ref()?;
        let name = match ticks.likely {
            true => format!("{}#{}", span.service.name, span.span_id),
            false => ticks.strand.as_str().to_owned(),
        };
        Some(*known.entry(name.clone()).or_insert_with(|| {
            names.push(name);
            names.len() - 1
        }))
    });
    let processes = processes.collect();
    (names, processes)
}

/// The larger tick of every process; both sides are sorted by process.
fn merge(into: &mut Vec<(usize, u64)>, other: &[(usize, u64)]) {
    if let [(process, tick)] = other {
        match into.binary_search_by_key(process, |&(process, _)| process) {
            Ok(at) => {
                if let Some((_, known)) = into.get_mut(at) {
                    *known = (*known).max(*tick);
                }
            }
            Err(at) => into.insert(at, (*process, *tick)),
        }
    } else {
        let mut merged = Vec::with_capacity(into.len().max(other.len()));
        let (mut ours, mut theirs) = (into.iter().peekable(), other.iter().peekable());
        while let Some(process) = [ours.peek(), theirs.peek()].into_iter().flatten().map(|entry| entry.0).min() {
            let ours = ours.next_if(|entry| entry.0 == process).map_or(0, |entry| entry.1);
            let theirs = theirs.next_if(|entry| entry.0 == process).map_or(0, |entry| entry.1);
            merged.push((process, ours.max(theirs)));
        }
        *into = merged;
    }
    if into.len() > ENTRIES_MAX {
        into.drain(..into.len() - ENTRIES_MAX);
    }
}
