//! A small distributed system, run step by step from a script: strands that call each other in parallel, time out,
//! retry, answer early and end late. Every header goes through the codec, and what really led to what is written down.

use proptest::prelude::*;
use raceway_trace::clock::{Component, Strand, VectorClock};
use raceway_trace::order::{Call, Calls, Interval, Join, Origin};
use raceway_trace::raceway_clock::{RacewayClock, RacewayClockRef};
use raceway_trace::{SpanId, TraceId};

/// What happens next, and to whom (modulo however many there are).
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// A request from outside.
    Root,
    /// A data access, or anything else that is worth a tick.
    Access(usize),
    /// A call to this service on this instance, found with certainty or not; it may get lost.
    Send { caller: usize, service: usize, certain: bool, lost: bool },
    /// The head of an answer leaves.
    Respond(usize),
    /// The head of an answer arrives.
    Reply(usize),
    /// The caller stops waiting (R6).
    GiveUp(usize),
    /// The body of an answer has left.
    End(usize),
    /// The body of an answer has arrived.
    SeeEnd(usize),
}

pub(crate) fn script(steps: usize) -> impl Strategy<Value = Vec<Step>> {
    let who = 0..64usize;
    let send = (who.clone(), 0..3usize, prop::bool::weighted(0.7), prop::bool::weighted(0.1));
    let step = prop_oneof![
        1 => Just(Step::Root),
        3 => who.clone().prop_map(Step::Access),
        5 => send.prop_map(|(caller, service, certain, lost)| Step::Send { caller, service, certain, lost }),
        4 => who.clone().prop_map(Step::Respond),
        4 => who.clone().prop_map(Step::Reply),
        1 => who.clone().prop_map(Step::GiveUp),
        3 => who.clone().prop_map(Step::End),
        3 => who.prop_map(Step::SeeEnd),
    ];
    prop::collection::vec(step, 0..steps)
}

/// One strand twice: with clocks as they are, and with clocks that had to fit into little room on the way.
pub(crate) struct Actor {
    pub(crate) full: Strand,
    pub(crate) lean: Strand,
    /// After every tick: both clocks and the time.
    pub(crate) seen: Vec<(VectorClock, VectorClock, u64)>,
    pub(crate) call: Option<Called>,
}

/// How a strand came to be called, and what became of that.
pub(crate) struct Called {
    pub(crate) caller: usize,
    pub(crate) sent: u64,
    pub(crate) certain: bool,
    responded: Option<(u64, VectorClock, VectorClock)>,
    given_up: bool,
    answered: Option<Join>,
    callee_end: Option<u64>,
    ended: Option<Join>,
}

/// A tick of a strand.
pub(crate) type Node = (usize, u64);

/// The system after its script.
pub(crate) struct Sim {
    pub(crate) actors: Vec<Actor>,
    room: usize,
    time: u64,
}

/// Which of the links count.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Links {
    All,
    Certain,
    /// Without what is learnt at the ends of bodies, which no header carries.
    Heads,
}

impl Sim {
    /// Runs the script; lean clocks get `room` bytes per header.
    pub(crate) fn run(script: &[Step], room: usize) -> Self {
        let mut sim = Self { actors: Vec::new(), room, time: 0 };
        sim.receive(0, None, None, None);
        for step in script {
            sim.step(step);
        }
        sim
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Root => self.receive(0, None, None, None),
            Step::Access(who) => {
                let who = who % self.actors.len();
                self.tick(who);
            }
            Step::Send { caller, service, certain, lost } => {
                let caller = caller % self.actors.len();
                let (full, lean) = self.both(caller, |strand| strand.send());
                assert_eq!(full.at, lean.at);
                let sent = full.at + 1;
                // The send itself is an event too; its clock differs from the header's only in the own entry.
                let mut at_send = self.actors[caller].seen.last().expect("received").clone();
                at_send.2 = self.now();
                let own = self.actors[caller].full.component().clone();
                at_send.0.merge_max(&VectorClock::from_iter([(own.clone(), full.at)]));
                at_send.1.merge_max(&VectorClock::from_iter([(own, full.at)]));
                self.actors[caller].seen.push(at_send);
                self.note(caller);
                if !lost {
                    let (full, lean) = (carried(&full.clock, 64 * 1024), carried(&lean.clock, self.room));
                    let call = Called {
                        caller,
                        sent,
                        certain,
                        responded: None,
                        given_up: false,
                        answered: None,
                        callee_end: None,
                        ended: None,
                    };
                    self.receive(service, Some(call), Some(&full), lean.as_ref().or(Some(&VectorClock::new())));
                }
            }
            Step::Respond(who) => {
                let room = self.room;
                self.call(
                    who,
                    |call| call.responded.is_none(),
                    |sim, who| {
                        let at = sim.tick(who);
                        let full = carried(sim.actors[who].full.clock(), 64 * 1024);
                        let lean = carried(sim.actors[who].lean.clock(), room);
                        let call = sim.actors[who].call.as_mut().expect("called");
                        call.responded = Some((at, full.expect("fits"), lean.unwrap_or_default()));
                    },
                );
            }
            Step::Reply(who) => {
                let open = |call: &Called| call.responded.is_some() && call.answered.is_none() && !call.given_up;
                self.call(who, open, |sim, who| {
                    let call = sim.actors[who].call.as_ref().expect("called");
                    let caller = call.caller;
                    let (callee, full, lean) = call.responded.clone().expect("responded");
                    let actor = &mut sim.actors[caller];
                    let at = actor.full.reply(Some(&full), None);
                    assert_eq!(at, actor.lean.reply(Some(&lean), None));
                    sim.note(caller);
                    let call = sim.actors[who].call.as_mut().expect("called");
                    call.answered = Some(Join { callee, caller: at });
                });
            }
            Step::GiveUp(who) => self.call(
                who,
                |call| call.answered.is_none() && !call.given_up,
                |sim, who| {
                    let call = sim.actors[who].call.as_mut().expect("called");
                    call.given_up = true;
                    let caller = call.caller;
                    sim.tick(caller);
                },
            ),
            Step::End(who) => self.call(
                who,
                |call| call.responded.is_some() && call.callee_end.is_none(),
                |sim, who| {
                    let at = sim.tick(who);
                    sim.actors[who].call.as_mut().expect("called").callee_end = Some(at);
                },
            ),
            Step::SeeEnd(who) => {
                let open = |call: &Called| call.callee_end.is_some() && call.answered.is_some() && call.ended.is_none();
                self.call(who, open, |sim, who| {
                    let call = sim.actors[who].call.as_ref().expect("called");
                    let (caller, callee) = (call.caller, call.callee_end.expect("ended"));
                    let at = sim.tick(caller);
                    sim.actors[who].call.as_mut().expect("called").ended = Some(Join { callee, caller: at });
                });
            }
        }
    }

    /// Does it to one of the called strands that are ready for it, if there is one.
    fn call(&mut self, pick: usize, ready: impl Fn(&Called) -> bool, act: impl FnOnce(&mut Self, usize)) {
        let ready: Vec<_> =
            (0..self.actors.len()).filter(|&who| self.actors[who].call.as_ref().is_some_and(&ready)).collect();
        if !ready.is_empty() {
            act(self, ready[pick % ready.len()]);
        }
    }

    fn receive(
        &mut self,
        service: usize,
        call: Option<Called>,
        full: Option<&Option<VectorClock>>,
        lean: Option<&VectorClock>,
    ) {
        // Few services on one instance each, so that strands share both and still must not be mixed up.
        let service = ["a", "b", "c"][service];
        let own = Component::strand(service, "pod", self.actors.len() as u64);
        let full = full.map(|full| full.as_ref().expect("fits"));
        let full = Strand::receive(own.clone(), full, None, service);
        let lean = Strand::receive(own, lean, None, service);
        self.actors.push(Actor { full, lean, seen: Vec::new(), call });
        self.note(self.actors.len() - 1);
    }

    fn tick(&mut self, who: usize) -> u64 {
        let (full, lean) = self.both(who, Strand::tick);
        assert_eq!(full, lean);
        self.note(who);
        full
    }

    fn both<T>(&mut self, who: usize, mut act: impl FnMut(&mut Strand) -> T) -> (T, T) {
        let actor = &mut self.actors[who];
        (act(&mut actor.full), act(&mut actor.lean))
    }

    /// Writes down what the last tick left.
    fn note(&mut self, who: usize) {
        let time = self.now();
        let actor = &mut self.actors[who];
        actor.seen.push((actor.full.clock().clone(), actor.lean.clock().clone(), time));
        assert_eq!(actor.seen.len() as u64, actor.full.now(), "every tick is written down");
    }

    fn now(&mut self) -> u64 {
        self.time += 1;
        self.time
    }

    /// All ticks of all strands.
    pub(crate) fn nodes(&self) -> Vec<Node> {
        let ticks = |(who, actor): (usize, &Actor)| (1..=actor.seen.len() as u64).map(move |tick| (who, tick));
        self.actors.iter().enumerate().flat_map(ticks).collect()
    }

    pub(crate) fn time(&self, (who, tick): Node) -> u64 {
        self.actors[who].seen[tick as usize - 1].2
    }

    /// For every node, in the order of [`Sim::nodes`], the nodes from which messages and time within a strand lead
    /// to it, itself included.
    pub(crate) fn reached_from(&self, links: Links) -> impl Fn(Node, Node) -> bool {
        let mut starts = Vec::new();
        let mut len = 0;
        for actor in &self.actors {
            starts.push(len);
            len += actor.seen.len();
        }
        let index = move |(who, tick): Node| starts[who] + tick as usize - 1;
        let mut before: Vec<Vec<usize>> = vec![Vec::new(); len];
        for (who, tick) in self.nodes() {
            if tick > 1 {
                before[index((who, tick))].push(index((who, tick - 1)));
            }
        }
        for (who, call) in self.actors.iter().enumerate().filter_map(|(who, actor)| Some((who, actor.call.as_ref()?))) {
            if links == Links::Certain && !call.certain {
                continue;
            }
            before[index((who, 1))].push(index((call.caller, call.sent)));
            for join in call.answered.into_iter().chain(call.ended.filter(|_| links != Links::Heads)) {
                before[index((call.caller, join.caller))].push(index((who, join.callee)));
            }
        }
        let mut by_time = self.nodes();
        by_time.sort_by_key(|&node| self.time(node));
        let mut reached = vec![vec![false; len]; len];
        for to in by_time.into_iter().map(&index) {
            let mut all = vec![false; len];
            all[to] = true;
            for &from in &before[to] {
                all.iter_mut().zip(&reached[from]).for_each(|(all, from)| *all |= from);
            }
            reached[to] = all;
        }
        move |from, to| reached[index(to)][index(from)]
    }

    /// What an analyzer knows of the calls, if it got the spans that `kept` names.
    pub(crate) fn calls(&self, links: Links, kept: impl Fn(usize) -> bool) -> Calls {
        let origin = |(who, actor): (usize, &Actor)| {
            let origin = match &actor.call {
                Some(call) if call.certain || links != Links::Certain => Origin::Call(Call {
                    caller: self.actors[call.caller].full.component().clone(),
                    sent: call.sent,
                    answered: call.answered,
                    ended: call.ended,
                }),
                _ => Origin::Root,
            };
            kept(who).then(|| (actor.full.component().clone(), origin))
        };
        self.actors.iter().enumerate().filter_map(origin).collect()
    }

    /// Points and intervals of every strand.
    pub(crate) fn intervals(&self) -> Vec<(Node, Node)> {
        let nodes = self.nodes();
        let to = |&(who, tick): &Node, end: u64| {
            (end <= self.actors[who].seen.len() as u64).then_some(((who, tick), (who, end)))
        };
        nodes.iter().flat_map(|node| [to(node, node.1), to(node, node.1 + 3)].into_iter().flatten()).collect()
    }

    pub(crate) fn interval(&self, ((who, start), (_, end)): (Node, Node), clocks: Clocks) -> Interval<'_> {
        let actor = &self.actors[who];
        let (full, lean, _) = &actor.seen[start as usize - 1];
        let clock = match clocks {
            Clocks::Full => Some(full),
            Clocks::Lean => Some(lean),
            Clocks::None => None,
        };
        Interval { strand: actor.full.component(), start, end, clock }
    }
}

/// Which clocks the intervals carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clocks {
    Full,
    Lean,
    None,
}

/// A clock as the other side reads it; `None` where nothing of it fitted.
fn carried(clock: &VectorClock, room: usize) -> Option<VectorClock> {
    let mut header = Vec::new();
    let fields = RacewayClockRef {
        trace_id: TraceId::new(7)?,
        span_id: SpanId::new(8)?,
        parent_span_id: SpanId::new(9),
        service: "svc",
        instance: "pod",
        clock,
    };
    fields.write(room, &mut header)?;
    assert!(header.len() <= room);
    Some(RacewayClock::parse(&header).expect("what we write we read").clock)
}
