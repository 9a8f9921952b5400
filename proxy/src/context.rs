//! Trace context: what a message says, and what we write into it.

use std::cell::Cell;

use raceway_trace::b3::{self, B3};
use raceway_trace::clock::Strand;
use raceway_trace::jaeger::{self, UberTraceId};
use raceway_trace::raceway_clock::{self, RacewayClock, RacewayClockRef};
use raceway_trace::stamp::{self, line_len};
use raceway_trace::traceparent::{self, Flags, Traceparent};
use raceway_trace::tracestate::{self, Member, Tracestate};
use raceway_trace::x_raceway::{self, Projection, XTraceId};
use raceway_trace::{SpanId, TraceId};

use crate::config::Propagators;
use crate::message::{Fields, Only};
use crate::metrics::Metrics;

/// What a request says about where it comes from. Everything is optional: what is missing, malformed or repeated
/// counts as absent, and the last two are counted.
#[derive(Debug, Default)]
pub(crate) struct Context {
    /// By the order of authority: `traceparent`, `raceway-clock`, `X-Raceway-Trace-Id`, then what was asked for.
    pub(crate) trace_id: Option<TraceId>,
    /// The span that caused the request.
    pub(crate) parent: Option<SpanId>,
    /// The flags, where the format that gave the trace id has any.
    pub(crate) flags: Option<Flags>,
    /// `tracestate`, its lines joined.
    pub(crate) tracestate: Vec<u8>,
    /// Our member of it.
    pub(crate) member: Option<Member>,
    /// The clock, if it is of this trace.
    pub(crate) clock: Option<RacewayClock>,
    /// The clock by plain service names.
    pub(crate) projection: Option<Projection>,
    /// An `X-Raceway-Trace-Id` that is no id.
    pub(crate) trace_text: Option<String>,
    /// The sender understands clocks: what we answer carries one.
    pub(crate) speaks: Speaks,
    /// What the sender said of its trace, where it is not believed.
    pub(crate) cut: Option<(TraceId, SpanId)>,
}

impl Context {
    /// The context of a sender that is not believed: none, but for what a link can name. What would pass beside what
    /// we write is taken out of the head.
    pub(crate) fn cut(self, head: &mut impl Fields, propagators: &Propagators, metrics: &Metrics) -> Self {
        if self.trace_id.is_some() || !self.tracestate.is_empty() || self.projection.is_some() {
            metrics.context_cut.inc();
        }
        if propagators.tracecontext {
            head.remove(tracestate::NAME);
        }
        Self { cut: self.trace_id.zip(self.parent), ..Self::default() }
    }
}

/// Which of our clock headers a request carried, malformed ones included.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Speaks {
    pub(crate) clock: bool,
    pub(crate) projection: bool,
}

/// Reads the context of a request.
pub(crate) fn extract(head: &impl Fields, propagators: &Propagators, metrics: &Metrics) -> Context {
    let read = Reader { head, metrics };
    let mut context = Context::default();
    if propagators.tracecontext
        && let Some(parent) =
            read.one(traceparent::NAME, |value| Traceparent::parse(value).map_err(|error| error.reason()))
    {
        context.trace_id = Some(parent.trace_id);
        context.parent = Some(parent.parent_id);
        context.flags = Some(parent.flags);
        read.tracestate(&mut context);
    }
    if propagators.raceway {
        read.raceway(&mut context);
    }
    if context.trace_id.is_none() && (propagators.b3 || propagators.b3_multi) {
        read.b3(propagators, &mut context);
    }
    if context.trace_id.is_none()
        && propagators.jaeger
        && let Some(uber) = read.one(jaeger::NAME, |value| UberTraceId::parse(value).map_err(|error| error.reason()))
    {
        context.trace_id = Some(uber.trace_id);
        context.parent = Some(uber.span_id);
        context.flags = Some(sampled_flags(uber.sampled()));
    }
    context
}

fn sampled_flags(sampled: bool) -> Flags {
    if sampled { Flags::SAMPLED } else { Flags::default() }
}

struct Reader<'a, F> {
    head: &'a F,
    metrics: &'a Metrics,
}

impl<F: Fields> Reader<'_, F> {
    /// The value of a field that may stand once.
    fn one<T>(&self, name: &'static str, parse: impl Fn(&[u8]) -> Result<T, &'static str>) -> Option<T> {
        match self.head.only(name) {
            Only::Absent => None,
            Only::Value(value) => parse(value).map_err(|reason| self.metrics.malformed(name, reason)).ok(),
            Only::Repeated => {
                self.metrics.malformed(name, "repeated");
                None
            }
        }
    }

    fn tracestate(&self, context: &mut Context) {
        self.head.each(tracestate::NAME, &mut |line| {
            if !context.tracestate.is_empty() {
                context.tracestate.push(b',');
            }
            context.tracestate.extend_from_slice(line);
        });
        if context.tracestate.is_empty() {
            return;
        }
        match Tracestate::parse([context.tracestate.as_slice()]) {
            Ok(state) => context.member = state.raceway(),
            Err(error) => {
                self.metrics.malformed(tracestate::NAME, error.reason());
                context.tracestate.clear();
            }
        }
    }

    fn raceway(&self, context: &mut Context) {
        context.speaks.clock = self.head.first(raceway_clock::NAME).is_some();
        context.speaks.projection = self.head.first(x_raceway::VC_NAME).is_some();
        if let Some(clock) =
            self.one(raceway_clock::NAME, |value| RacewayClock::parse(value).map_err(|error| error.reason()))
        {
            if *context.trace_id.get_or_insert(clock.trace_id) == clock.trace_id {
                // The Raceway SDK puts the id it minted for its callee into `traceparent` too; the caller is then
                // named by the clock alone.
                if context.parent.is_none_or(|parent| parent == clock.span_id) {
                    context.parent = clock.parent_span_id;
                }
                context.clock = Some(clock);
            } else {
                self.metrics.malformed(raceway_clock::NAME, "other_trace");
            }
        }
        if let Some(id) =
            self.one(x_raceway::TRACE_ID_NAME, |value| XTraceId::parse(value).map_err(|error| error.reason()))
        {
            context.trace_id.get_or_insert(id.id);
            context.trace_text = id.text;
        }
        context.projection =
            self.one(x_raceway::VC_NAME, |value| Projection::parse(value).map_err(|error| error.reason()));
    }

    fn b3(&self, propagators: &Propagators, context: &mut Context) {
        let mut found = propagators
            .b3
            .then(|| self.one(b3::NAME, |value| B3::parse_single(value).map_err(|error| error.reason())))
            .flatten();
        if found.is_none() && propagators.b3_multi {
            let value = |name| match self.head.only(name) {
                Only::Value(value) => Some(value),
                Only::Absent | Only::Repeated => None,
            };
            let values = b3::Multi {
                trace_id: value(b3::TRACE_ID),
                span_id: value(b3::SPAN_ID),
                parent_span_id: value(b3::PARENT_SPAN_ID),
                sampled: value(b3::SAMPLED),
                flags: value(b3::FLAGS),
            };
            found = B3::parse_multi(values)
                .map_err(|error| self.metrics.malformed(b3::TRACE_ID, error.reason()))
                .ok()
                .flatten();
        }
        let Some(found) = found else { return };
        context.flags = found.sampling.sampled().map(sampled_flags);
        if let Some(ids) = found.ids {
            context.trace_id = Some(ids.trace_id);
            context.parent = Some(ids.span_id);
        }
    }
}

/// What is written into a request.
pub(crate) struct Stamp<'a> {
    pub(crate) trace_id: TraceId,
    /// The span that the receiver's spans hang under.
    pub(crate) span_id: SpanId,
    pub(crate) flags: Flags,
    /// What came as `tracestate`.
    pub(crate) tracestate: &'a [u8],
    /// What it says of us.
    pub(crate) member: Member,
    /// The clock; `None` where nothing but the trace may leave the house.
    pub(crate) clock: Option<Clocked<'a>>,
}

/// A clock and who sends it.
pub(crate) struct Clocked<'a> {
    /// The id minted for the receiver's span; in a reply, the span that answers.
    pub(crate) span_id: SpanId,
    /// The sender's span; in a reply, the span that is answered.
    pub(crate) parent: Option<SpanId>,
    pub(crate) service: &'a str,
    pub(crate) instance: &'a str,
    pub(crate) strand: &'a Strand,
}

impl Clocked<'_> {
    fn fields(&self, trace_id: TraceId) -> RacewayClockRef<'_> {
        RacewayClockRef {
            trace_id,
            span_id: self.span_id,
            parent_span_id: self.parent,
            service: self.service,
            instance: self.instance,
            clock: self.strand.clock(),
        }
    }
}

/// Writes context into a request, in place of whatever context it had.
pub(crate) fn stamp(head: &mut impl Fields, stamp: &Stamp<'_>, propagators: &Propagators) {
    let mut others = 0;
    if propagators.tracecontext {
        let parent = Traceparent { trace_id: stamp.trace_id, parent_id: stamp.span_id, flags: stamp.flags };
        head.replace(traceparent::NAME, &mut |value| value.extend_from_slice(&parent.to_bytes()));
        others += line_len(traceparent::NAME, traceparent::LEN);
        let state = Tracestate::parse([stamp.tracestate]).unwrap_or_default();
        let ours = (propagators.raceway && stamp.clock.is_some()).then_some(stamp.member);
        if ours.is_some() || state.raceway().is_some() {
            let mut length = 0;
            head.replace(tracestate::NAME, &mut |value| {
                let start = value.len();
                state.write(ours, value);
                length = value.len() - start;
            });
            if length == 0 {
                head.remove(tracestate::NAME);
            }
            others += line_len(tracestate::NAME, length);
        }
    }
    if propagators.raceway {
        match &stamp.clock {
            Some(clock) => {
                head.replace(x_raceway::TRACE_ID_NAME, &mut |value| value.extend_from_slice(&stamp.trace_id.to_hex()));
                others += line_len(x_raceway::TRACE_ID_NAME, stamp.trace_id.to_hex().len());
                write_clock(head, stamp.trace_id, clock, others, Speaks { clock: true, projection: true });
            }
            None => RACEWAY.iter().for_each(|name| head.remove(name)),
        }
    }
    // Outside the house nothing but `traceparent` is said.
    let inside = stamp.clock.is_some();
    if inside && (propagators.b3 || propagators.b3_multi) {
        let sampling = if stamp.flags.sampled() { b3::Sampling::Accept } else { b3::Sampling::Deny };
        let ids = b3::Ids { trace_id: stamp.trace_id, span_id: stamp.span_id, parent_span_id: None };
        let b3 = B3 { ids: Some(ids), sampling };
        if propagators.b3 {
            head.replace(b3::NAME, &mut |value| b3.write_single(value));
        }
        if propagators.b3_multi {
            head.remove(b3::PARENT_SPAN_ID);
            for (name, field) in b3.multi() {
                head.replace(name, &mut |value| value.extend_from_slice(&field));
            }
        }
    }
    if inside && propagators.jaeger {
        let flags = u8::from(stamp.flags.sampled());
        let uber = UberTraceId { trace_id: stamp.trace_id, span_id: stamp.span_id, parent_span_id: None, flags };
        head.replace(jaeger::NAME, &mut |value| uber.write(value));
    }
}

/// The headers that never leave the house.
const RACEWAY: [&str; 3] = [raceway_clock::NAME, x_raceway::TRACE_ID_NAME, x_raceway::VC_NAME];

fn write_clock(head: &mut impl Fields, trace_id: TraceId, clock: &Clocked<'_>, others: usize, wanted: Speaks) {
    // Kept for the next request; taken, so that it is nobody else's meanwhile.
    let mut values = VALUES.take();
    values.clear();
    let projection = wanted.projection.then_some(clock.strand.projection());
    let written = stamp::clocks(&clock.fields(trace_id), projection, others, &mut values);
    for (name, wanted, at) in [
        (raceway_clock::NAME, wanted.clock, written.clock),
        (x_raceway::VC_NAME, wanted.projection, written.projection),
    ] {
        match at.and_then(|at| values.get(at)).filter(|_| wanted) {
            Some(text) => head.replace(name, &mut |value| value.extend_from_slice(text)),
            None => head.remove(name),
        }
    }
    values.shrink_to(VALUES_KEPT_MAX);
    VALUES.set(values);
}

thread_local! {
    /// Where the values of clock headers are written before they go into a head.
    static VALUES: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Long clocks must not keep their memory for ever.
const VALUES_KEPT_MAX: usize = 4096;

/// Writes the clock into an answer, in the headers that the request carried.
pub(crate) fn stamp_reply(head: &mut impl Fields, trace_id: TraceId, clock: &Clocked<'_>, wanted: Speaks) {
    if wanted.clock || wanted.projection {
        write_clock(head, trace_id, clock, 0, wanted);
    }
}

/// `X-Raceway-Trace-Id` on an answer, so that whoever asked finds the trace.
pub(crate) fn expose(head: &mut impl Fields, trace_id: TraceId) {
    head.replace(x_raceway::TRACE_ID_NAME, &mut |value| value.extend_from_slice(&trace_id.to_hex()));
}

/// What an answer says of its clock.
#[derive(Default)]
pub(crate) struct Reply {
    pub(crate) clock: Option<RacewayClock>,
    pub(crate) projection: Option<Projection>,
}

/// Takes the clock off an answer; the headers stay where the application asked for them itself.
pub(crate) fn take_reply(head: &mut impl Fields, trace_id: TraceId, asked: Speaks, metrics: &Metrics) -> Reply {
    let read = Reader { head, metrics };
    let clock = read.one(raceway_clock::NAME, |value| RacewayClock::parse(value).map_err(|error| error.reason()));
    let projection = read.one(x_raceway::VC_NAME, |value| Projection::parse(value).map_err(|error| error.reason()));
    if !asked.clock {
        head.remove(raceway_clock::NAME);
    }
    if !asked.projection {
        head.remove(x_raceway::VC_NAME);
    }
    if clock.as_ref().is_some_and(|clock| clock.trace_id != trace_id) {
        metrics.malformed(raceway_clock::NAME, "other_trace");
        return Reply::default();
    }
    Reply { clock, projection }
}
