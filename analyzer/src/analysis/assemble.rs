//! Putting a trace together: parents, and the two halves of every call.
//!
//! Spans name their parents, but not always the right ones: the Raceway SDK takes a callee's id for its own, an
//! application without any names an id that its sidecar made up, Zipkin's two halves share one id, halves are missing
//! or not there yet, and a stranger may send anything. [`assemble`] says what the spans of one trace that have come so
//! far add up to. It is linear and holds no state: what comes late is put right by assembling again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use raceway_trace::SpanId;

use super::facts::{Facts, Identity, Medium};

/// More spans than this under one id are not looked at: honest senders give one, Zipkin's two.
const SAME_ID_MAX: usize = 8;
/// Tunnels of one trace that are compared with requests; more are left as they are.
const TUNNELS_MAX: usize = 64;

/// What the spans of a trace add up to. Numbers are positions in the slice of [`Facts`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Assembled {
    /// Each span's parent, mended.
    pub(crate) parents: Vec<Parent>,
    /// The calls, one each.
    pub(crate) calls: Vec<Halves>,
    /// Requests whose caller is outside: nobody reported them.
    pub(crate) entries: Vec<usize>,
    /// Whether a span answered what its own service had already answered (a second sidecar in a row, an SDK behind it).
    pub(crate) inner: Vec<bool>,
    /// Whether a span says otherwise what an earlier one of the same key already said; it counts for nothing.
    pub(crate) conflicting: Vec<bool>,
}

impl Assembled {
    /// Whether it is known how a call was tied to its cause: its caller says, unless the caller's span has not come.
    pub(crate) fn says_its_link(&self, call: &Halves) -> bool {
        let parent = |at: usize| self.parents.get(at).and_then(|parent| parent.span());
        call.client.is_some() || call.server.and_then(parent).is_some()
    }
}

/// A span's parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parent {
    /// None.
    Root,
    /// This one.
    Span(usize),
    /// One that was named but never came.
    Missing,
}

impl Parent {
    /// The parent's position, where it has come.
    pub(crate) const fn span(self) -> Option<usize> {
        match self {
            Self::Span(at) => Some(at),
            Self::Root | Self::Missing => None,
        }
    }
}

/// One call.
#[derive(Clone, Debug)]
pub(crate) struct Halves {
    /// The caller's span.
    pub(crate) client: Option<usize>,
    /// The callee's.
    pub(crate) server: Option<usize>,
    /// The caller.
    pub(crate) from: Arc<Identity>,
    /// The callee, or what the caller calls it.
    pub(crate) to: Arc<Identity>,
}

/// Puts the spans of one trace together.
pub(crate) fn assemble(spans: &[Facts]) -> Assembled {
    let index = Index::new(spans);
    let mut parents: Vec<Parent> = (0..spans.len()).map(|at| index.parent(at)).collect();
    mend_siblings(spans, &mut parents);
    break_cycles(&mut parents);
    let conflicting = conflicting(spans);
    let (calls, entries, inner) = Caller { spans, parents: &parents, conflicting: &conflicting }.calls();
    Assembled { parents, calls, entries, inner, conflicting }
}

fn conflicting(spans: &[Facts]) -> Vec<bool> {
    let mut seen = HashSet::with_capacity(spans.len());
    spans.iter().map(|span| !seen.insert((span.span_id, span.kind, &span.service, &span.instance))).collect()
}

/// Spans by id.
struct Index<'a> {
    spans: &'a [Facts],
    /// The first span with an id, and for each span the next with the same one.
    first: HashMap<SpanId, usize>,
    next: Vec<Option<usize>>,
    /// Ids that sidecars made up, and the requests they stand for.
    stand_ins: HashMap<SpanId, usize>,
}

impl<'a> Index<'a> {
    fn new(spans: &'a [Facts]) -> Self {
        let mut first = HashMap::with_capacity(spans.len());
        let mut stand_ins = HashMap::new();
        let mut next = vec![None; spans.len()];
        for (at, (span, next)) in spans.iter().zip(&mut next).enumerate().rev() {
            *next = first.insert(span.span_id, at);
            if let Some(id) = span.stand_in {
                stand_ins.insert(id, at);
            }
        }
        Self { spans, first, next, stand_ins }
    }

    fn with_id(&self, id: SpanId) -> impl Iterator<Item = (usize, &'a Facts)> {
        let mut at = self.first.get(&id).copied();
        let all = std::iter::from_fn(move || {
            let here = at?;
            at = self.next.get(here).copied().flatten();
            Some((here, self.spans.get(here)?))
        });
        all.take(SAME_ID_MAX)
    }

    fn parent(&self, at: usize) -> Parent {
        let Some(span) = self.spans.get(at) else { return Parent::Root };
        // Zipkin and B3: the callee reports under its caller's id.
        if span.answers()
            && let Some((twin, _)) = self.with_id(span.span_id).find(|&(other, twin)| other != at && twin.calls())
        {
            return Parent::Span(twin);
        }
        let Some(id) = span.parent.filter(|&id| id != span.span_id) else { return Parent::Root };
        let fits = |other: &Facts| {
            if span.answers() { (other.calls(), false) } else { (other.service.is(&span.service), other.answers()) }
        };
        // `max_by_key` keeps the last of equals; the first that came is meant.
        let named = self.with_id(id).collect::<Vec<_>>().into_iter().rev().max_by_key(|(_, other)| fits(other));
        let stand_in = || self.stand_ins.get(&id).copied().filter(|&request| request != at);
        match named.map(|(at, _)| at).or_else(stand_in) {
            Some(parent) => Parent::Span(parent),
            None => Parent::Missing,
        }
    }
}

/// The Raceway SDK goes on under the id of its last callee, so its next call names that callee as its parent: a span
/// that answered the same caller. Both are children of what the first one is a child of.
fn mend_siblings(spans: &[Facts], parents: &mut [Parent]) {
    let sibling = |at: usize, parent: Parent| -> Option<usize> {
        let (span, before) = (spans.get(at)?, parent.span()?);
        let elder = spans.get(before)?;
        let (service, instance) = span.caller.as_ref().filter(|_| span.answers() && elder.answers())?;
        let (elder_service, elder_instance) = elder.caller.as_ref()?;
        let same_caller = service == elder_service && agree(instance.as_ref(), elder_instance.as_ref());
        let of_caller = elder.service.name == *service && agree(instance.as_ref(), elder.instance.as_ref());
        (same_caller && !of_caller).then_some(before)
    };
    let mut elder: Vec<Option<usize>> = parents.iter().enumerate().map(|(at, &parent)| sibling(at, parent)).collect();
    let mut chain = Vec::new();
    for start in 0..parents.len() {
        let mut at = start;
        // Taking each step away while walking bounds the walks by the number of spans, in a circle too.
        while let Some(next) = elder.get_mut(at).and_then(Option::take) {
            chain.push(at);
            at = next;
        }
        let parent =
            if chain.contains(&at) { Parent::Missing } else { parents.get(at).copied().unwrap_or(Parent::Root) };
        for mended in chain.drain(..) {
            if let Some(slot) = parents.get_mut(mended) {
                *slot = parent;
            }
        }
    }
}

fn agree(a: Option<&Arc<str>>, b: Option<&Arc<str>>) -> bool {
    a.zip(b).is_none_or(|(a, b)| a == b)
}

/// Takes one parent out of every circle, so that what follows may walk up.
fn break_cycles(parents: &mut [Parent]) {
    // The walk on which a span was first met; a span met twice on one walk closes a circle.
    let mut walk = vec![usize::MAX; parents.len()];
    for start in 0..parents.len() {
        let mut at = start;
        loop {
            match walk.get_mut(at) {
                Some(met) if *met == usize::MAX => *met = start,
                Some(met) if *met == start => {
                    if let Some(parent) = parents.get_mut(at) {
                        *parent = Parent::Missing;
                    }
                    break;
                }
                _ => break,
            }
            match parents.get(at) {
                Some(&Parent::Span(parent)) => at = parent,
                _ => break,
            }
        }
    }
}

/// Finds the calls.
struct Caller<'a> {
    spans: &'a [Facts],
    parents: &'a [Parent],
    conflicting: &'a [bool],
}

/// What the children of a span say about it.
#[derive(Clone, Copy, Default)]
struct Below {
    /// A call of the same service: that one is the call, this one only its wrapping.
    call: bool,
    /// The request that answers it.
    answer: Option<usize>,
}

impl<'a> Caller<'a> {
    fn parent(&self, at: usize) -> Option<(usize, &'a Facts)> {
        let parent = self.parents.get(at)?.span()?;
        Some((parent, self.spans.get(parent)?))
    }

    fn counted(&self) -> impl Iterator<Item = (usize, &'a Facts)> {
        let spans = self.spans.iter().zip(self.conflicting).enumerate();
        spans.filter(|(_, (_, conflicting))| !**conflicting).map(|(at, (span, _))| (at, span))
    }

    fn calls(&self) -> (Vec<Halves>, Vec<usize>, Vec<bool>) {
        let below = self.below();
        let mut calls = Vec::new();
        let mut entries = Vec::new();
        let mut inner = vec![false; self.spans.len()];
        let mut unseen = Vec::new();
        for (at, span) in self.counted() {
            if span.calls() {
                let below = below.get(at).copied().unwrap_or_default();
                if !below.call {
                    calls.push(self.call(at, span, below.answer));
                }
            } else if span.answers() {
                match self.received(at, span, &below) {
                    Received::Counted => {}
                    Received::Inner => {
                        if let Some(inner) = inner.get_mut(at) {
                            *inner = true;
                        }
                    }
                    Received::Entry => entries.push(at),
                    Received::From(from) => {
                        unseen.push(at);
                        calls.push(Halves { client: None, server: Some(at), from, to: span.service.clone() });
                    }
                }
            }
        }
        self.merge_tunnels(&mut calls, &unseen);
        (calls, entries, inner)
    }

    fn below(&self) -> Vec<Below> {
        let mut all = vec![Below::default(); self.spans.len()];
        for (at, span) in self.counted() {
            let Some((parent, caller)) = self.parent(at) else { continue };
            let Some(below) = all.get_mut(parent).filter(|_| caller.calls()) else { continue };
            if span.calls() && span.service.is(&caller.service) {
                below.call = true;
            } else if span.answers() {
                let earlier = |&other: &usize| {
                    let key = |at: usize, span: &Facts| (span.start_ns, span.span_id, at);
                    self.spans.get(other).is_some_and(|kept| key(other, kept) < key(at, span))
                };
                below.answer = below.answer.filter(earlier).or(Some(at));
            }
        }
        all
    }

    fn call(&self, at: usize, span: &Facts, answer: Option<usize>) -> Halves {
        let to = match answer.and_then(|answer| self.spans.get(answer)) {
            Some(callee) => callee.service.clone(),
            None => Arc::new(Identity::named(span.peer.as_deref().unwrap_or("unknown"))),
        };
        Halves { client: Some(at), server: answer, from: span.service.clone(), to }
    }

    fn received(&self, at: usize, span: &Facts, below: &[Below]) -> Received {
        let named = span.caller.as_ref().filter(|(name, _)| *name != span.service.name);
        let named = named.map(|(name, _)| Arc::new(Identity::named(name)));
        match self.parent(at) {
            Some((parent, caller)) if caller.calls() => {
                let below = below.get(parent).copied().unwrap_or_default();
                let first = below.answer.and_then(|answer| self.spans.get(answer));
                match first {
                    // Sent again on the way, by something without a sidecar: one call all the same.
                    Some(first) if below.answer == Some(at) || first.service.is(&span.service) => {
                        if below.call {
                            Received::From(caller.service.clone())
                        } else {
                            Received::Counted
                        }
                    }
                    _ => Received::From(caller.service.clone()),
                }
            }
            Some((_, caller)) if caller.service.is(&span.service) => match caller.answers() {
                true => Received::Inner,
                false => Received::Counted,
            },
            Some((_, caller)) => Received::From(named.unwrap_or_else(|| caller.service.clone())),
            None => match (named, &span.caller) {
                (Some(named), _) => Received::From(named),
                (None, None) => Received::Entry,
                // The clock names its own service: a sidecar in front of this one, whose span has not come.
                (None, Some(_)) => Received::Counted,
            },
        }
    }

    /// A call through a tunnel shows twice: the tunnel that the caller's sidecar carried without reading it, and the
    /// request as the callee's saw it. The request says more.
    fn merge_tunnels(&self, calls: &mut Vec<Halves>, unseen: &[usize]) {
        let client = |call: &Halves| call.client.filter(|_| call.server.is_none());
        let tunnels: Vec<(usize, &Facts)> = calls
            .iter()
            .filter_map(client)
            .filter_map(|at| Some((at, self.spans.get(at)?)))
            .filter(|(_, span)| span.medium == Medium::Tcp && span.host.is_some())
            .take(TUNNELS_MAX)
            .collect();
        if tunnels.is_empty() {
            return;
        }
        let mut merged = Vec::new();
        for request in unseen.iter().filter_map(|&at| Some((at, self.spans.get(at)?))) {
            let caller = self.parent(request.0).map(|(_, caller)| &caller.service);
            let through = tunnels.iter().find(|(_, tunnel)| {
                tunnel.host == request.1.host
                    && caller.is_some_and(|caller| caller.is(&tunnel.service))
                    && tunnel.start_ns <= request.1.start_ns
                    && tunnel.end_ns >= request.1.end_ns
            });
            merged.extend(through.map(|(at, _)| *at));
        }
        calls.retain(|call| client(call).is_none_or(|at| !merged.contains(&at)));
    }
}

/// What a request is to the graph.
enum Received {
    /// The other half of a call that is counted at its caller's span, or a sidecar's second sight of a request.
    Counted,
    /// As `Counted`, inside a request of the same service.
    Inner,
    /// From outside.
    Entry,
    /// A call whose caller's sidecar could not see it.
    From(Arc<Identity>),
}

#[cfg(test)]
mod tests;
