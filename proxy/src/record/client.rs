//! CLIENT spans: what the application asks of others.

use std::net::IpAddr;

use super::*;
use crate::context::{self, Clocked, Context, Speaks, Stamp};
use crate::link::Link;
use crate::requests::Handling;
use crate::sidecar::{new_span_id, new_trace_id};
use crate::upstream::Target;
use raceway_trace::TraceId;

/// One outbound call.
pub(crate) struct ClientSpan {
    sidecar: Arc<Sidecar>,
    call: Call,
    target: Arc<Target>,
    /// The strand that makes the call: the request's, or one of the call's own.
    strand: Arc<Handling>,
    place: Place,
    /// What the application wrote: it may have asked for clocks itself.
    speaks: Speaks,
    /// The id that a Raceway SDK in the application minted for the callee.
    minted: SpanId,
    sent: String,
    replied: Option<String>,
    /// The service that answered, as its clock names it.
    answered_by: Option<String>,
}

/// Where a call stands in which trace.
struct Place {
    trace_id: TraceId,
    span_id: SpanId,
    parent: Option<SpanId>,
    flags: Flags,
    tracestate: Vec<u8>,
    method: Method,
    /// How sure this one link is, and all links on the way here together.
    p: Probability,
    p_path: Probability,
    candidates: usize,
    links: Vec<SpanLink<'static>>,
}

impl Place {
    fn base(&self, took: Duration) -> Base {
        Base {
            trace_id: self.trace_id,
            span_id: self.span_id,
            parent: self.parent,
            kind: Kind::Client,
            flags: self.flags,
            took,
        }
    }

    /// Writes how the call came to stand there.
    fn describe(&self, span: &mut SpanWriter<'_>) {
        span.set("raceway.parent.method", self.method.word());
        if self.p != Probability::CERTAIN {
            span.set("raceway.parent.p", self.p.get());
        }
        span.set("raceway.parent.candidates", self.candidates as u64);
        self.links.iter().for_each(|link| span.link(link));
        span.trace_state(&String::from_utf8_lossy(&self.tracestate));
    }
}

impl ClientSpan {
    /// A call leaves: it joins the trace of the request it belongs to, or begins one.
    pub(crate) fn open(
        sidecar: &Arc<Sidecar>,
        context: Context,
        link: Link,
        head: &impl RequestHead,
        target: &Arc<Target>,
    ) -> Self {
        let mut call = Call::open(sidecar, head);
        if target.tls {
            call.scheme = "https";
        }
        let minted = context.clock.as_ref().map(|clock| clock.span_id);
        let speaks = context.speaks;
        let (strand, place) = place(sidecar, context, link);
        // A clock passed on as it came names the application itself, not its callee.
        let minted = minted.filter(|minted| *minted != strand.app).unwrap_or_else(new_span_id);
        strand.remember_sent(place.span_id);
        strand.remember_sent(minted);
        sidecar.metrics.linked(place.method);
        Self {
            sidecar: Arc::clone(sidecar),
            call,
            target: Arc::clone(target),
            strand,
            place,
            speaks,
            minted,
            sent: String::new(),
            replied: None,
            answered_by: None,
        }
    }

    /// Writes the context that goes to the network, at this address.
    pub(crate) fn stamp(&mut self, head: &mut impl RequestHead, peer: Option<IpAddr>) {
        let config = &self.sidecar.config;
        let place = &self.place;
        let inside = peer.is_some_and(|peer| config.propagate_to.allows(&self.target.host, peer));
        self.sent = self.strand.strand(|strand| {
            let sent = strand.send();
            let stamp = Stamp {
                trace_id: place.trace_id,
                span_id: place.span_id,
                flags: place.flags,
                tracestate: &place.tracestate,
                member: Member { method: place.method, p: place.p_path },
                clock: inside.then_some(Clocked {
                    span_id: self.minted,
                    parent: Some(place.span_id),
                    service: &config.identity.service,
                    instance: &config.identity.instance,
                    strand,
                }),
            };
            context::stamp(head, &stamp, &config.propagators);
            clock_text(&sent.clock)
        });
    }

    /// The same for a second attempt: another clock and another id for the callee, who may have read the first.
    pub(crate) fn stamp_again(&mut self, head: &mut impl RequestHead, address: Option<IpAddr>) {
        self.minted = new_span_id();
        self.strand.remember_sent(self.minted);
        self.stamp(head, address);
    }

    /// The callee has answered.
    pub(crate) fn answered(&mut self, head: &mut impl ResponseHead) {
        self.call.answered(head);
        if !self.sidecar.config.propagators.raceway {
            return;
        }
        let reply = context::take_reply(head, self.place.trace_id, self.speaks, &self.sidecar.metrics);
        if reply.clock.is_none() && reply.projection.is_none() {
            return;
        }
        let vector = reply.clock.as_ref().map(|clock| &clock.clock);
        self.replied = Some(self.strand.strand(|strand| {
            strand.reply(vector, reply.projection.as_ref());
            clock_text(strand.clock())
        }));
        self.answered_by = reply.clock.map(|clock| clock.service);
    }

    /// The call went by TLS, and this is who is there.
    pub(crate) fn went_by(&mut self, peer: Option<&Arc<Peer>>) {
        self.call.peer = peer.cloned();
    }

    /// Nothing answered.
    pub(crate) fn failed(&mut self, failure: &Failure) {
        self.call.failed(failure, &self.sidecar.metrics.outbound);
    }

    /// The exchange is over.
    pub(crate) fn close(mut self, ending: Result<(), Failure>, payloads: (u64, u64)) {
        self.end(ending.as_ref().map(drop), payloads);
    }

    fn end(&mut self, ending: Result<(), &Failure>, payloads: (u64, u64)) {
        if !self.call.end(ending, &self.sidecar.metrics.outbound) {
            return;
        }
        let sidecar = &*self.sidecar;
        let took = self.call.started.elapsed();
        let failed = self.call.error(400).is_some();
        sidecar.metrics.outbound.ended(self.call.status, failed, took, payloads);
        let to = self.answered_by.as_deref().or(self.target.name.as_deref()).unwrap_or(&self.target.host);
        sidecar.edges.called(to, self.call.peer.as_deref(), took, failed);
        let (last_tick, strand) = self.strand.strand(|strand| (strand.tick(), strand.component().clone()));
        let place = &self.place;
        if !(place.flags.sampled() || failed && sidecar.config.keep_errors) {
            return;
        }
        sidecar.exporter.record_with(|span| {
            span.name(&[&self.call.method]);
            self.call.describe(span, place.base(took), 400, payloads);
            describe_target(span, &self.target);
            if let Some(peer) = &self.call.peer {
                describe_peer(span, peer, "tls.server.subject_alternative_names");
            }
            span.set("raceway.strand", strand.as_str());
            span.set("raceway.clock.send", self.sent.as_str());
            if let Some(replied) = &self.replied {
                span.set("raceway.clock.reply", replied.as_str());
            }
            span.set("raceway.clock.end", last_tick);
            place.describe(span);
        });
    }
}

impl Drop for ClientSpan {
    fn drop(&mut self) {
        self.end(Err(&Failure::CallerGone), (0, 0));
    }
}

/// An outbound connection that is not HTTP: time and bytes.
pub(crate) struct TcpSpan {
    sidecar: Arc<Sidecar>,
    target: Arc<Target>,
    strand: Arc<Handling>,
    place: Place,
    /// What a TLS client asked for; the inner `None` where it named nothing, the outer one where it is not TLS.
    hello: Option<Option<String>>,
    /// The other side, where the sidecar began TLS.
    peer: Option<Arc<Peer>>,
    started_ns: u64,
    started: Instant,
    closed: bool,
}

impl TcpSpan {
    /// A connection opens. It may serve many requests, so it is linked like a call but carries nothing.
    pub(crate) fn open(sidecar: &Arc<Sidecar>, target: &Arc<Target>) -> Self {
        let context = Context::default();
        let link = sidecar.link(&context);
        let (strand, place) = place(sidecar, context, link);
        sidecar.metrics.linked(place.method);
        Self {
            sidecar: Arc::clone(sidecar),
            target: Arc::clone(target),
            strand,
            place,
            hello: None,
            peer: None,
            started_ns: unix_ns(),
            started: Instant::now(),
            closed: false,
        }
    }

    /// The application begins TLS on the connection, and asks for this name.
    pub(crate) fn tls(&mut self, server_name: Option<String>) {
        self.hello = Some(server_name);
    }

    /// The sidecar began TLS on it, and this is who is there.
    pub(crate) fn went_by(&mut self, peer: Option<&Arc<Peer>>) {
        self.peer = peer.cloned();
    }

    /// The connection is closed.
    pub(crate) fn close(mut self, error: Option<&std::io::Error>, bytes: (u64, u64)) {
        self.end(error.map(|error| error.kind().to_string()), bytes);
    }

    /// There never was a connection.
    pub(crate) fn failed(mut self, failure: &Failure) {
        self.end(Some(failure.reason().to_owned()), (0, 0));
    }

    fn end(&mut self, error: Option<String>, (sent, received): (u64, u64)) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        let (place, took) = (&self.place, self.started.elapsed());
        let to = self.target.name.as_deref().unwrap_or(&self.target.host);
        self.sidecar.edges.carried(to, self.peer.as_deref(), took, error.is_some(), (sent, received));
        if !(place.flags.sampled() || error.is_some() && self.sidecar.config.keep_errors) {
            return;
        }
        let strand = self.strand.strand(|strand| strand.component().clone());
        self.sidecar.exporter.record_with(|span| {
            span.name(&["tcp"]);
            place.base(took).describe(span, self.started_ns);
            span.set("network.transport", "tcp");
            describe_target(span, &self.target);
            if let Some(server_name) = &self.hello {
                span.set("tls.protocol.name", "tls");
                if let Some(name) = server_name {
                    span.set("tls.client.server_name", name.as_str());
                }
            }
            if let Some(peer) = &self.peer {
                describe_peer(span, peer, "tls.server.subject_alternative_names");
            }
            span.set("raceway.bytes.sent", sent);
            span.set("raceway.bytes.received", received);
            if let Some(error) = error {
                span.set("error.type", error);
                span.status(&Status::Error(Cow::Borrowed("")));
            }
            span.set("raceway.strand", strand.as_str());
            place.describe(span);
        });
    }
}

impl Drop for TcpSpan {
    fn drop(&mut self) {
        self.end(Some(Failure::CallerGone.reason().to_owned()), (0, 0));
    }
}

/// Puts a call into its trace.
fn place(sidecar: &Sidecar, context: Context, link: Link) -> (Arc<Handling>, Place) {
    let span_id = new_span_id();
    let forwarded = context.clock.as_ref().map(|clock| &clock.clock);
    // A strand of the call's own: what nobody can tell to be part of a request happens by itself.
    let own_strand = |trace_id, flags, p| {
        let strand = sidecar.new_strand(forwarded, context.projection.as_ref());
        Handling::new((trace_id, span_id, span_id), (None, None), flags, Vec::new(), p, strand)
    };
    let forwarded_p = context.member.map_or(Probability::CERTAIN, |member| member.p);
    match link {
        Link::Request { handling, parent, method, p, candidates } => {
            handling.strand(|strand| strand.join(forwarded, context.projection.as_ref()));
            let from_app = context.trace_id.is_some() && !context.tracestate.is_empty();
            let place = Place {
                trace_id: handling.trace_id,
                span_id,
                parent: Some(parent),
                flags: context.flags.unwrap_or(handling.flags),
                tracestate: if from_app { context.tracestate } else { handling.tracestate.clone() },
                method,
                p,
                p_path: handling.p.product(p),
                candidates,
                links: Vec::new(),
            };
            (handling, place)
        }
        Link::Foreign { trace_id, parent } => {
            let flags = context.flags.unwrap_or(Flags::SAMPLED);
            let place = Place {
                trace_id,
                span_id,
                parent,
                flags,
                method: Method::Header,
                p: Probability::CERTAIN,
                p_path: forwarded_p,
                candidates: 0,
                links: Vec::new(),
                tracestate: Vec::new(),
            };
            let strand = own_strand(trace_id, flags, forwarded_p);
            (strand, Place { tracestate: context.tracestate, ..place })
        }
        Link::Unlinked { candidates, count } => {
            let (trace_id, flags) = (new_trace_id(), sidecar.root_flags());
            let place = Place {
                trace_id,
                span_id,
                parent: None,
                flags,
                tracestate: Vec::new(),
                method: Method::Root,
                p: Probability::CERTAIN,
                p_path: Probability::CERTAIN,
                candidates: count,
                links: candidates.iter().map(|candidate| candidate_link(candidate)).collect(),
            };
            (own_strand(trace_id, flags, Probability::CERTAIN), place)
        }
    }
}

fn candidate_link(candidate: &Handling) -> SpanLink<'static> {
    SpanLink {
        trace_id: candidate.trace_id,
        span_id: candidate.server,
        attributes: vec![(Cow::Borrowed("raceway.link"), Value::Str(Cow::Borrowed("candidate")))],
    }
}

fn describe_target(span: &mut SpanWriter<'_>, target: &Target) {
    span.set("server.address", &*target.host);
    span.set("server.port", target.port);
    if let Some(name) = &target.name {
        span.set("peer.service", &**name);
    }
}
