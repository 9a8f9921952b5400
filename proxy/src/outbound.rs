//! From the application to the network.

use std::sync::Arc;

use crate::context;
use crate::exchange::Exchange;
use crate::message::RequestHead;
use crate::record::ClientSpan;
use crate::sidecar::Sidecar;
use crate::upstream::Target;

/// The life of an outbound call.
pub(crate) async fn carry(sidecar: &Arc<Sidecar>, exchange: &mut impl Exchange, target: &Arc<Target>) {
    let mut span = open(sidecar, exchange.request(), target);
    let mut sent = match exchange.connect().await {
        Ok(address) => {
            span.stamp(exchange.request(), address);
            exchange.send().await
        }
        Err(failure) => Err(failure),
    };
    if sent.is_err() && exchange.again() {
        sent = match exchange.connect().await {
            Ok(address) => {
                span.stamp_again(exchange.request(), address);
                exchange.send().await
            }
            Err(failure) => Err(failure),
        };
    }
    match sent {
        Ok(()) => span.answered(exchange.response()),
        Err(failure) => {
            span.failed(&failure);
            exchange.refuse(&failure).await;
        }
    }
    span.went_by(exchange.callee());
    let ending = exchange.deliver().await;
    span.close(ending, exchange.payloads());
}

/// A function of its own, as what it reads from the head would otherwise have room in the call's future to the end.
fn open(sidecar: &Arc<Sidecar>, request: &impl RequestHead, target: &Arc<Target>) -> ClientSpan {
    let context = context::extract(request, &sidecar.config.propagators, &sidecar.metrics);
    let link = sidecar.link(&context);
    ClientSpan::open(sidecar, context, link, request, target)
}
