//! The order of things by cause and effect, and how sure it is.
//!
//! Sidecars merge clocks on every stamped call, certain or likely, so a reported clock that a likely link has touched
//! proves nothing. What is definite is worked out again from the certain calls alone; what only the reported clocks or
//! the likely calls say is likely.

mod events;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use raceway_analyzer_client::{Kind, Reported, Value};
use raceway_trace::clock::{Component, VectorClock};
use raceway_trace::order::{Call, Calls, Interval, Join, Order, Origin};

use super::assemble::{Assembled, Parent};
use super::facts::{Certainty, Facts};

pub(crate) use events::{Sequence, Vectors};

/// How sure an order is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sure {
    Definite,
    Likely,
    Unknown,
}

/// What a sidecar noted of a span's place on its strand.
#[derive(Clone, Debug)]
pub(crate) struct Ticks {
    pub(crate) strand: Component,
    /// The strand's own tick when the span began, when the answer's head came or went, and when it was over.
    pub(crate) start: u64,
    pub(crate) head: Option<u64>,
    pub(crate) end: u64,
    /// What the strand knew when the span began.
    pub(crate) clock: VectorClock,
    /// What it knew when the head came or went.
    pub(crate) head_clock: Option<VectorClock>,
    /// Whether the span's place on this strand is only likely.
    likely: bool,
}

impl Ticks {
    fn of(reported: &Reported, facts: &Facts) -> Option<Self> {
        let span = &reported.span;
        let text = |name: &str| span.attribute(name).and_then(Value::as_str);
        let clock = |name: &str| text(name).and_then(|json| VectorClock::parse_json(json.as_bytes()));
        let strand = Component::new(text("raceway.strand")?)?;
        let tick = |clock: &VectorClock| clock.get(strand.as_str());
        let (start, clock, head_clock) = match span.kind {
            Kind::Server => {
                let received = clock("raceway.clock.receive");
                let received = received.unwrap_or_else(|| [(strand.clone(), 1)].into_iter().collect());
                (tick(&received)?, received, clock("raceway.clock.respond"))
            }
            Kind::Client => {
                let sent = clock("raceway.clock.send")?;
                // The send itself is one tick before what went into the header.
                (tick(&sent)?.saturating_sub(1).max(1), sent, clock("raceway.clock.reply"))
            }
            _ => return None,
        };
        let head = head_clock.as_ref().and_then(tick);
        let end = span.attribute("raceway.clock.end").and_then(Value::as_int).and_then(|tick| u64::try_from(tick).ok());
        let end = end.or(head).unwrap_or(start).max(start);
        let likely = facts.calls() && facts.link.certainty == Certainty::Likely;
        Some(Self { strand, start, head, end, clock, head_clock, likely })
    }

    fn interval(&self, trusted: bool) -> Interval<'_> {
        let clock = trusted.then_some(&self.clock);
        Interval { strand: &self.strand, start: self.start, end: self.end, clock }
    }

    /// The tick that the callee knew of when it began.
    fn sent(&self) -> u64 {
        self.clock.get(self.strand.as_str()).unwrap_or(self.start)
    }
}

/// The order of the spans of one trace.
#[derive(Debug)]
pub(crate) struct Orders {
    /// Per span, where a sidecar noted it.
    pub(crate) ticks: Vec<Option<Ticks>>,
    certain: Calls,
    all: Calls,
    /// Whether no likely link is in the trace, so that reported clocks prove what they say.
    clean: bool,
}

impl Orders {
    pub(crate) fn new(reported: &[Reported], facts: &[Facts], assembled: &Assembled) -> Self {
        let ticks: Vec<Option<Ticks>> =
            reported.iter().zip(facts).map(|(reported, facts)| Ticks::of(reported, facts)).collect();
        let origins = origins(facts, assembled, &ticks);
        let clean = !facts.iter().any(|facts| facts.link.certainty == Certainty::Likely);
        let certain = origins.iter().filter(|(_, (_, likely))| !likely);
        Self {
            certain: certain.map(|(strand, (origin, _))| (strand.clone(), origin.clone())).collect(),
            all: origins.into_iter().map(|(strand, (origin, _))| (strand, origin)).collect(),
            ticks,
            clean,
        }
    }

    /// How the span at `a` stands to the one at `b`.
    pub(crate) fn order(&self, a: usize, b: usize) -> (Order, Sure) {
        if a == b {
            return (Order::Same, Sure::Definite);
        }
        let ticks = |at: usize| self.ticks.get(at).and_then(Option::as_ref);
        let (Some(a), Some(b)) = (ticks(a), ticks(b)) else { return (Order::Unknown, Sure::Unknown) };
        if !a.likely && !b.likely {
            let definite = self.certain.order(&a.interval(self.clean), &b.interval(self.clean));
            if definite != Order::Unknown {
                return (definite, Sure::Definite);
            }
        }
        match self.all.order(&a.interval(true), &b.interval(true)) {
            Order::Unknown => (Order::Unknown, Sure::Unknown),
            order => (order, Sure::Likely),
        }
    }
}

/// Where each strand came from, and whether that is only likely.
fn origins(facts: &[Facts], assembled: &Assembled, ticks: &[Option<Ticks>]) -> HashMap<Component, (Origin, bool)> {
    let at = |place: usize| Some((facts.get(place)?, ticks.get(place)?.as_ref()?));
    let mut origins = HashMap::new();
    for (place, parent) in assembled.parents.iter().enumerate() {
        let Some((span, own)) = at(place) else { continue };
        let origin = match *parent {
            Parent::Missing => None,
            Parent::Root => Some((Origin::Root, false)),
            Parent::Span(parent) if span.answers() => at(parent).map(|(caller, from)| {
                let joined = from.head_clock.is_some();
                let join = |callee: Option<u64>, caller: Option<u64>| {
                    callee.zip(caller).filter(|_| joined).map(|(callee, caller)| Join { callee, caller })
                };
                // Behind another sidecar of the same service, or a context that an application passed on by itself, the
                // caller is a request; only its own clock says when it sent.
                let sent = own.clock.get(from.strand.as_str()).unwrap_or(from.start);
                let (sent, ended) = match caller.calls() {
                    true => (from.sent(), join(Some(own.end), Some(from.end))),
                    false => (sent, None),
                };
                let answered = join(own.head, from.head).filter(|_| caller.calls() || knows(from, own));
                (Origin::Call(Call { caller: from.strand.clone(), sent, answered, ended }), from.likely)
            }),
            Parent::Span(_) => None,
        };
        match origin {
            Some(origin) if span.answers() => drop(origins.insert(own.strand.clone(), origin)),
            // A call that nobody caused has a strand of its own.
            Some(origin) => drop(origins.entry(own.strand.clone()).or_insert(origin)),
            None => {}
        }
    }
    origins
}

/// Whether what the inner one had answered was known to the outer one when it answered.
fn knows(outer: &Ticks, inner: &Ticks) -> bool {
    let known = outer.head_clock.as_ref().and_then(|clock| clock.get(inner.strand.as_str()));
    known.zip(inner.head).is_some_and(|(known, head)| known >= head)
}
