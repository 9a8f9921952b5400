//! From callers to the application.

use std::sync::Arc;

use crate::context;
use crate::exchange::Exchange;
use crate::forwarded;
use crate::message::RequestHead;
use crate::record::ServerSpan;
use crate::sidecar::Sidecar;
use crate::upstream::Target;

/// The life of an inbound request.
pub(crate) async fn carry(sidecar: &Arc<Sidecar>, exchange: &mut impl Exchange, target: &Target, caller: &Arc<str>) {
    if sidecar.config.forwarded_for {
        forwarded::add(exchange.request(), caller);
    }
    if sidecar.ignores(exchange.request().path()) {
        return pass(exchange).await;
    }
    let mut context = context::extract(exchange.request(), &sidecar.config.propagators, &sidecar.metrics);
    if !sidecar.config.trust_context.believes(caller) {
        context = context.cut(exchange.request(), &sidecar.config.propagators, &sidecar.metrics);
    }
    let mut span = ServerSpan::open(sidecar, context, exchange.request(), target, caller);
    span.came_by(exchange.caller());
    span.stamp(exchange.request());
    let mut sent = exchange.send().await;
    if sent.is_err() && exchange.again() {
        span.stamp_again(exchange.request());
        sent = exchange.send().await;
    }
    match sent {
        Ok(()) => span.answered(exchange.response()),
        Err(failure) => {
            span.failed(&failure);
            exchange.refuse(&failure).await;
        }
    }
    let ending = exchange.deliver().await;
    span.close(ending, exchange.payloads());
}

/// Noise passes untouched.
async fn pass(exchange: &mut impl Exchange) {
    let mut sent = exchange.send().await;
    if sent.is_err() && exchange.again() {
        sent = exchange.send().await;
    }
    if let Err(failure) = sent {
        exchange.refuse(&failure).await;
    }
    if let Err(failure) = exchange.deliver().await {
        tracing::debug!(%failure, "a request that is left out of traces");
    }
}
