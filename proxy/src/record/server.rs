//! SERVER spans: what callers ask of the application.

use super::*;
use crate::context::{self, Clocked, Context, Speaks, Stamp};
use crate::requests::Handling;
use crate::sidecar::{new_span_id, new_trace_id};
use crate::upstream::Target;
use raceway_trace::clock::Strand;

/// One inbound request.
pub(crate) struct ServerSpan {
    sidecar: Arc<Sidecar>,
    call: Call,
    handling: Arc<Handling>,
    parent: Option<SpanId>,
    /// How the caller's side says it knew the request it belongs to; `None` for a root.
    method: Method,
    /// Service and instance of the caller, as its clock names them.
    caller: Option<(String, String)>,
    caller_address: Arc<str>,
    /// Where a redirected connection was going: what the network says, and not the caller's Host header.
    original: Option<(Arc<str>, u16)>,
    trace_text: Option<String>,
    /// What a caller said that is not believed.
    cut: Option<(raceway_trace::TraceId, SpanId)>,
    speaks: Speaks,
    /// The clock right after the request came, where it holds more than our own first tick.
    received: Option<String>,
    responded: Option<String>,
}

impl ServerSpan {
    /// A request has come: it joins the trace that it names, or begins one.
    pub(crate) fn open(
        sidecar: &Arc<Sidecar>,
        context: Context,
        head: &impl RequestHead,
        target: &Target,
        caller_address: &Arc<str>,
    ) -> Self {
        let call = Call::open(sidecar, head);
        let joined = context.trace_id.is_some();
        let trace_id = context.trace_id.unwrap_or_else(new_trace_id);
        // A Raceway caller mints the id of the span it calls. A caller that repeats an id gets a fresh one.
        let minted = context.clock.as_ref().map(|clock| clock.span_id);
        let server = match minted {
            Some(minted) if sidecar.adopt(minted) => minted,
            Some(_) => {
                sidecar.metrics.malformed(raceway_clock::NAME, "repeated_span_id");
                new_span_id()
            }
            None => new_span_id(),
        };
        let flags = context.flags.unwrap_or_else(|| if joined { Flags::SAMPLED } else { sidecar.root_flags() });
        let vector = context.clock.as_ref().map(|clock| &clock.clock);
        let service = &*sidecar.config.identity.service;
        let strand = sidecar.new_strand(vector, context.projection.as_ref());
        let received = (strand.clock().len() > 1).then(|| clock_text(strand.clock()));
        let caller = context.clock.map(|clock| (clock.service, clock.instance));
        let p = context.member.map_or(Probability::CERTAIN, |member| member.p);
        let named = caller.as_ref().map(|(service, _)| &**service);
        let parent = sidecar.requests.mended_parent(context.parent, named, service);
        let ids = (trace_id, server, sidecar.requests.app_id(server));
        let called_by = named.map(Box::from);
        let handling = Handling::new(ids, (parent, called_by), flags, context.tracestate, p, strand);
        sidecar.requests.open(&handling, call.started);
        Self {
            sidecar: Arc::clone(sidecar),
            call,
            parent,
            method: if joined { Method::Header } else { Method::Root },
            caller,
            caller_address: Arc::clone(caller_address),
            original: target.original.then(|| (Arc::clone(&target.host), target.port)),
            trace_text: context.trace_text,
            cut: context.cut,
            speaks: context.speaks,
            received,
            responded: None,
            handling,
        }
    }

    /// The caller came by TLS, and this is what is known of it.
    pub(crate) fn came_by(&mut self, peer: Option<&Arc<Peer>>) {
        if let Some(peer) = peer {
            self.call.scheme = "https";
            self.call.peer = Some(Arc::clone(peer));
        }
    }

    /// Writes the context that the application sees.
    pub(crate) fn stamp(&self, head: &mut impl RequestHead) {
        let handling = &*self.handling;
        let member = match Tracestate::parse([handling.tracestate.as_slice()]).ok().and_then(|state| state.raceway()) {
            Some(member) => member,
            None => Member { method: self.method, p: handling.p },
        };
        handling.strand(|strand| {
            let stamp = Stamp {
                trace_id: handling.trace_id,
                span_id: handling.server,
                flags: handling.flags,
                tracestate: &handling.tracestate,
                member,
                clock: Some(Clocked {
                    span_id: handling.app,
                    parent: Some(handling.server),
                    service: &self.sidecar.config.identity.service,
                    instance: &self.sidecar.config.identity.instance,
                    strand,
                }),
            };
            context::stamp(head, &stamp, &self.sidecar.config.propagators);
        });
    }

    /// The same for a second attempt: what happens from here on is after whatever the first one caused.
    pub(crate) fn stamp_again(&self, head: &mut impl RequestHead) {
        self.handling.strand(Strand::tick);
        self.stamp(head);
    }

    /// The application has answered.
    pub(crate) fn answered(&mut self, head: &mut impl ResponseHead) {
        self.call.answered(head);
        let sidecar = &*self.sidecar;
        let handling = &*self.handling;
        let own = head
            .first(raceway_clock::NAME)
            .and_then(|value| RacewayClock::parse(value).ok())
            .filter(|clock| clock.trace_id == handling.trace_id);
        let speaks = self.speaks;
        self.responded = Some(handling.strand(|strand| {
            strand.join(own.as_ref().map(|clock| &clock.clock), None);
            strand.respond();
            let reply = Clocked {
                span_id: handling.server,
                parent: self.parent,
                service: &sidecar.config.identity.service,
                instance: &sidecar.config.identity.instance,
                strand,
            };
            context::stamp_reply(head, handling.trace_id, &reply, speaks);
            clock_text(strand.clock())
        }));
        if sidecar.config.expose_trace_id {
            context::expose(head, handling.trace_id);
        }
    }

    /// Nothing answered.
    pub(crate) fn failed(&mut self, failure: &Failure) {
        self.call.failed(failure, &self.sidecar.metrics.inbound);
    }

    /// The exchange is over.
    pub(crate) fn close(mut self, ending: Result<(), Failure>, payloads: (u64, u64)) {
        self.end(ending.as_ref().map(drop), payloads);
    }

    fn end(&mut self, ending: Result<(), &Failure>, payloads: (u64, u64)) {
        if !self.call.end(ending, &self.sidecar.metrics.inbound) {
            return;
        }
        let sidecar = &*self.sidecar;
        let handling = &*self.handling;
        let now = Instant::now();
        let took = now.duration_since(self.call.started);
        sidecar.requests.close(&self.handling, now);
        let failed = self.call.error(500).is_some();
        sidecar.metrics.inbound.ended(self.call.status, failed, took, payloads);
        if let Some(peer) = &self.call.peer {
            sidecar.edges.came(peer, took, failed);
        }
        let (last_tick, strand) = handling.strand(|strand| (strand.tick(), strand.component().clone()));
        if handling.flags.sampled() || failed && sidecar.config.keep_errors {
            let took = (took, last_tick, strand.as_str());
            sidecar.exporter.record_with(|span| self.describe(span, took, payloads));
        }
    }

    fn describe(
        &self,
        span: &mut SpanWriter<'_>,
        (took, last_tick, strand): (Duration, u64, &str),
        payloads: (u64, u64),
    ) {
        let handling = &*self.handling;
        let route = self.sidecar.route(&self.call.path);
        span.name(&[&self.call.method, " ", &route]);
        let base = Base {
            trace_id: handling.trace_id,
            span_id: handling.server,
            parent: self.parent,
            kind: Kind::Server,
            flags: handling.flags,
            took,
        };
        self.call.describe(span, base, 500, payloads);
        span.set("http.route", route.as_str());
        span.set("client.address", &*self.caller_address);
        if let Some(peer) = &self.call.peer {
            describe_peer(span, peer, "tls.client.subject_alternative_names");
        }
        if let Some((host, port)) = &self.original {
            span.set("server.address", &**host);
            span.set("server.port", *port);
        } else if let Some(authority) = &self.call.authority {
            let (host, port) = split_authority(authority);
            span.set("server.address", host);
            if let Some(port) = port {
                span.set("server.port", port);
            }
        }
        span.set("raceway.strand", strand);
        if let Some(received) = &self.received {
            span.set("raceway.clock.receive", received.as_str());
        }
        if let Some(responded) = &self.responded {
            span.set("raceway.clock.respond", responded.as_str());
        }
        span.set("raceway.clock.end", last_tick);
        if let Some((service, instance)) = &self.caller {
            span.set("raceway.caller.service", service.as_str());
            span.set("raceway.caller.instance", instance.as_str());
        }
        let app = handling.app.to_hex();
        span.set("raceway.app.span_id", str::from_utf8(&app).unwrap_or_default());
        span.set("raceway.parent.method", self.method.word());
        if let Some(text) = &self.trace_text {
            span.set("raceway.trace_id.text", text.as_str());
        }
        if let Some((trace_id, span_id)) = self.cut {
            let attributes = vec![(Cow::Borrowed("raceway.link"), Value::Str(Cow::Borrowed("not_trusted")))];
            span.link(&SpanLink { trace_id, span_id, attributes });
        }
        span.trace_state(&String::from_utf8_lossy(&handling.tracestate));
    }
}

impl Drop for ServerSpan {
    fn drop(&mut self) {
        self.end(Err(&Failure::CallerGone), (0, 0));
    }
}

/// `host:port`, `[::1]:port` or a bare host into its parts.
pub(super) fn split_authority(authority: &str) -> (&str, Option<u16>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            (host, port.parse().ok())
        }
        _ => (authority.trim_start_matches('[').trim_end_matches(']'), None),
    }
}
