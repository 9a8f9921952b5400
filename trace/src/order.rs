//! Happens-before: which of two intervals of a trace came first, or that neither did.
//!
//! Two sources answer. A vector clock does so at once ([`Interval::precedes`]), but it says nothing where entries were
//! left out on the way, nor about what happened behind the head of an answer. The calls of a trace ([`Calls`]) fill
//! that up: from an event the chain of answers and ends leads up to the callers, and from the other one the chain of
//! parents. What is definite is asked of [`Calls`] that hold only the certain calls, with intervals that carry no clock,
//! since a clock that a likely link has touched proves nothing.

use std::collections::HashMap;

use crate::clock::{Component, VectorClock};

/// A longer chain of calls than any real one; behind it an order is unknown, so that no pair costs more than this.
const HOPS_MAX: usize = 1024;

/// How two intervals relate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// The first had ended before the second began.
    Before,
    /// They are one and the same.
    Same,
    /// The second had ended before the first began.
    After,
    /// Neither: no message tells them apart.
    Concurrent,
    /// A span that would tell is missing, or a component serves more than one strand.
    Unknown,
}

impl Order {
    /// The order seen from the other side.
    #[must_use]
    pub const fn reverse(self) -> Self {
        match self {
            Self::Before => Self::After,
            Self::After => Self::Before,
            other => other,
        }
    }
}

/// An access, a call or a whole request: what lies between two ticks of one strand (R2). A point has both the same.
#[derive(Clone, Copy, Debug)]
pub struct Interval<'a> {
    /// The strand it belongs to.
    pub strand: &'a Component,
    /// The strand's tick at its start.
    pub start: u64,
    /// The strand's tick at its end.
    pub end: u64,
    /// What the strand knew at its start; `None` where nothing should be read from it.
    pub clock: Option<&'a VectorClock>,
}

impl Interval<'_> {
    /// Whether this had ended before `other` began, as far as the clock of `other` alone tells: `true` is certain,
    /// `false` only means that the clock does not say so.
    pub fn precedes(&self, other: &Self) -> bool {
        if !self.strand.has_strand() {
            return false;
        }
        if self.strand == other.strand {
            return self.end < other.start;
        }
        other.knows(self.strand, self.end)
    }

    fn knows(&self, strand: &Component, tick: u64) -> bool {
        self.clock.and_then(|clock| clock.get(strand)).is_some_and(|known| known >= tick)
    }
}

/// Where a strand came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody of this trace called it.
    Root,
    /// A call whose both halves were seen.
    Call(Call),
}

/// A call from one strand to another, which it started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The strand that called.
    pub caller: Component,
    /// The caller's tick when it sent.
    pub sent: u64,
    /// The answer's head, where its clock was joined; `None` after a timeout or reset (R6).
    pub answered: Option<Join>,
    /// The end of the answer's body, where both saw it.
    pub ended: Option<Join>,
}

/// What the callee had done by its tick, the caller knew from its own tick on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Join {
    /// The callee's tick: its respond, or its end.
    pub callee: u64,
    /// The caller's tick: its reply, or its end.
    pub caller: u64,
}

impl Call {
    /// From which tick of the caller on the callee's `tick` is known to it.
    fn up(&self, tick: u64) -> Option<u64> {
        let joins = [self.answered, self.ended];
        joins.into_iter().flatten().filter(|join| tick <= join.callee).map(|join| join.caller).min()
    }
}

/// The calls of one trace. Strands whose origin is not among them are known only by name: a chain that leads there
/// makes an order unknown, never concurrent.
///
/// One kind of path shows in no call: that an application carried a clock from one request to another by itself. It is
/// seen as far as the clocks show it.
///
/// ```
/// use raceway_trace::clock::Component;
/// use raceway_trace::order::{Call, Calls, Interval, Join, Order, Origin};
///
/// let [api, auth, order] = ["api", "auth", "order"].map(|service| Component::strand(service, "x", 1));
/// let call = |sent, reply| Origin::Call(Call {
///     caller: api.clone(),
///     sent,
///     answered: Some(Join { callee: 4, caller: reply }),
///     ended: None,
/// });
/// // api calls auth (ticks 2 to 4), and after the answer order (5 to 7).
/// let calls = Calls::from_iter([
///     (api.clone(), Origin::Root),
///     (auth.clone(), call(2, 4)),
///     (order.clone(), call(5, 7)),
/// ]);
/// let at = |strand, tick| Interval { strand, start: tick, end: tick, clock: None };
/// assert_eq!(calls.order(&at(&auth, 3), &at(&order, 2)), Order::Before);
/// // What auth does behind its answer at 4 is ordered by nothing.
/// assert_eq!(calls.order(&at(&auth, 5), &at(&order, 2)), Order::Concurrent);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Calls {
    index: HashMap<Component, usize>,
    strands: Vec<Strand>,
}

#[derive(Clone, Debug)]
struct Strand {
    name: Component,
    parent: Parent,
    /// How many calls lie above it.
    depth: usize,
    /// Whether they lead to a root, and not to where a span is missing.
    rooted: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Parent {
    /// No span tells.
    Missing,
    Root,
    Call(usize, Call),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Yes,
    No,
    Unknown,
}

impl Calls {
    /// How two intervals of the trace relate.
    pub fn order(&self, a: &Interval<'_>, b: &Interval<'_>) -> Order {
        if !a.strand.has_strand() || !b.strand.has_strand() {
            return Order::Unknown;
        }
        if a.strand == b.strand {
            return match () {
                () if (a.start, a.end) == (b.start, b.end) => Order::Same,
                () if a.end < a.start || b.end < b.start => Order::Unknown,
                () if a.end < b.start => Order::Before,
                () if b.end < a.start => Order::After,
                () => Order::Concurrent,
            };
        }
        match (self.leads(a, b), self.leads(b, a)) {
            (Verdict::Yes, Verdict::Yes) => Order::Unknown, // only forged clocks say both
            (Verdict::Yes, _) => Order::Before,
            (_, Verdict::Yes) => Order::After,
            (Verdict::No, Verdict::No) => Order::Concurrent,
            _ => Order::Unknown,
        }
    }

    /// Whether a path leads from the end of `a` to the start of `b`, which is of another strand.
    fn leads(&self, a: &Interval<'_>, b: &Interval<'_>) -> Verdict {
        if b.knows(a.strand, a.end) {
            return Verdict::Yes;
        }
        let Some(mut upper) = self.get(a.strand) else { return Verdict::Unknown };
        let mut lower = self.get(b.strand);
        // Where the callers of `b` are not known, `a` or one of its callers may be among them.
        let no = if lower.is_some_and(|(_, strand)| strand.rooted) { Verdict::No } else { Verdict::Unknown };
        // From which tick on `upper` knows of `a`, and up to which tick of `lower` `b` knows.
        let (mut known_from, mut known_to) = (a.end, b.start);
        for _ in 0..HOPS_MAX {
            match lower {
                Some((at, _)) if at == upper.0 => {
                    return if known_from <= known_to { Verdict::Yes } else { Verdict::No };
                }
                Some((_, Strand { parent: Parent::Call(caller, call), depth, .. })) if *depth > upper.1.depth => {
                    known_to = call.sent;
                    lower = self.strands.get(*caller).map(|strand| (*caller, strand));
                    continue;
                }
                _ => {}
            }
            match &upper.1.parent {
                Parent::Call(caller, call) => {
                    let Some(from) = call.up(known_from) else { return no };
                    let Some(strand) = self.strands.get(*caller) else { return Verdict::Unknown };
                    known_from = from;
                    upper = (*caller, strand);
                    if b.knows(&strand.name, from) {
                        return Verdict::Yes;
                    }
                }
                Parent::Root => return no,
                Parent::Missing => return Verdict::Unknown,
            }
        }
        Verdict::Unknown
    }

    fn get(&self, strand: &Component) -> Option<(usize, &Strand)> {
        let at = *self.index.get(strand)?;
        self.strands.get(at).map(|strand| (at, strand))
    }
}

/// A strand that is named twice with different origins counts as missing, and so do strands that call each other in a
/// circle: no strand comes from two calls.
impl FromIterator<(Component, Origin)> for Calls {
    fn from_iter<T: IntoIterator<Item = (Component, Origin)>>(origins: T) -> Self {
        let mut calls = Self::default();
        let mut said: HashMap<usize, Parent> = HashMap::new();
        for (strand, origin) in origins {
            let at = calls.place(strand);
            let parent = match origin {
                Origin::Root => Parent::Root,
                Origin::Call(call) => Parent::Call(calls.place(call.caller.clone()), call),
            };
            let before = said.entry(at).or_insert_with(|| parent.clone());
            if *before != parent {
                *before = Parent::Missing;
            }
        }
        for (at, parent) in said {
            if let Some(strand) = calls.strands.get_mut(at) {
                strand.parent = parent;
            }
        }
        calls.measure();
        calls
    }
}

impl Calls {
    /// Where a strand stands in the list, from now on if not before.
    fn place(&mut self, strand: Component) -> usize {
        let next = self.strands.len();
        let at = *self.index.entry(strand.clone()).or_insert(next);
        if at == next {
            self.strands.push(Strand { name: strand, parent: Parent::Missing, depth: 0, rooted: false });
        }
        at
    }

    /// Sets every strand's depth, each once, and breaks circles up.
    fn measure(&mut self) {
        let mut visits = vec![Visit::No; self.strands.len()];
        for from in 0..self.strands.len() {
            let (mut path, mut next) = (Vec::<usize>::new(), Some(from));
            let mut above = None;
            while let Some(at) = next {
                match visits.get_mut(at) {
                    Some(visit @ Visit::No) => *visit = Visit::Now,
                    Some(Visit::Now) => {
                        let begins = path.iter().position(|&on_path| on_path == at).unwrap_or_default();
                        for at in path.split_off(begins) {
                            if let Some(strand) = self.strands.get_mut(at) {
                                strand.parent = Parent::Missing;
                            }
                            above = self.set(at, &mut visits, None);
                        }
                        break;
                    }
                    _ => {
                        above = self.strands.get(at).map(|strand| (strand.depth, strand.rooted));
                        break;
                    }
                }
                path.push(at);
                next = match self.strands.get(at).map(|strand| &strand.parent) {
                    Some(Parent::Call(caller, _)) => Some(*caller),
                    _ => None,
                };
            }
            while let Some(at) = path.pop() {
                above = self.set(at, &mut visits, above);
            }
        }
    }

    /// Sets a strand's depth and whether it is rooted from those of its caller, and returns them.
    fn set(&mut self, at: usize, visits: &mut [Visit], above: Option<(usize, bool)>) -> Option<(usize, bool)> {
        *visits.get_mut(at)? = Visit::Yes;
        let strand = self.strands.get_mut(at)?;
        (strand.depth, strand.rooted) = match above {
            Some((depth, rooted)) => (depth + 1, rooted),
            None => (0, strand.parent == Parent::Root),
        };
        Some((strand.depth, strand.rooted))
    }
}

#[derive(Clone, Copy)]
enum Visit {
    No,
    Now,
    Yes,
}
