//! HTTP/1: the exchanges that pass over a pair of connections, one after the other. The pair itself: `pair.rs`.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use raceway_tls::{Alpn, Peer};

use crate::conn::Conn;
use crate::exchange::Exchange;
use crate::failure::Failure;
use crate::http1::{Framing, RequestHead, ResponseHead};
use crate::metrics::Calls;
use crate::pair::Pair;
use crate::pump::{Pump, PumpError};
use crate::refusal::{finish, write_refusal};
use crate::sidecar::Sidecar;
use crate::tunnel;
use crate::upstream::{Failed, Target};

/// How far we read ahead of an answer that is still awaited, to notice that the caller hangs up.
const READ_AHEAD_BYTES: usize = 16 * 1024;

impl Pair {
    /// Begins the exchange of the request that has just been read.
    pub(crate) fn exchange<'p>(
        &'p mut self,
        sidecar: &'p Sidecar,
        calls: &'p Calls,
        target: &'p Target,
    ) -> Exchange1<'p> {
        let request = Pump::within(self.request.framing(), sidecar.limits);
        Exchange1 {
            request_persistent: self.request.persistent(),
            pair: self,
            sidecar,
            calls,
            target,
            request,
            response: Pump::new(Framing::None),
            fresh: false,
            request_stuck: false,
            half_closed: false,
            again: false,
            tunnel: false,
            refused: false,
            reset: false,
            persistent: false,
        }
    }
}

/// One exchange over a [`Pair`].
pub(crate) struct Exchange1<'p> {
    pair: &'p mut Pair,
    sidecar: &'p Sidecar,
    calls: &'p Calls,
    target: &'p Target,
    request: Pump,
    response: Pump,
    /// The connection was made for this request.
    fresh: bool,
    /// The receiver of the request's body takes no more of it. Its answer may say why.
    request_stuck: bool,
    /// The caller has ended its side, and so have we towards the application.
    half_closed: bool,
    /// The attempt that failed may be made once more.
    again: bool,
    /// The caller's side of this exchange allows another one.
    request_persistent: bool,
    /// The protocol has changed (101): bytes flow both ways until both sides end.
    tunnel: bool,
    /// We answered ourselves.
    refused: bool,
    /// One side broke the connection (RST), and the other shall see the same.
    reset: bool,
    persistent: bool,
}

/// How an attempt to get an answer ended.
enum Attempt {
    /// Not one byte came back.
    Nothing(io::Error),
    /// Anything else.
    Failed(Failure),
}

impl Exchange1<'_> {
    /// Whether another request may follow on the pair.
    pub(crate) fn persistent(&self) -> bool {
        self.persistent
    }

    /// Whether the pair has to end with a reset.
    pub(crate) fn reset(&self) -> bool {
        self.reset
    }

    async fn dial(&mut self) -> Result<(), Failure> {
        if let Some(failed) = self.pair.failed.take().filter(Failed::is_recent) {
            return Err(failed.failure);
        }
        // Boxed, as most requests find a connection and need no room for making one.
        self.pair.up = Some(Box::pin(self.sidecar.dialer.connect(self.target, Alpn::Http1)).await?);
        self.fresh = true;
        Ok(())
    }

    /// Sends the request over the connection there is, and reads the head of the final answer.
    async fn attempt(&mut self) -> Result<(), Attempt> {
        if let Some(up) = &mut self.pair.up {
            self.pair.request.write(up.outgoing());
        }
        std::future::poll_fn(|cx| self.poll_attempt(cx)).await
    }

    fn tunnel_broken(&mut self, error: io::Error) -> Failure {
        if error.kind() == io::ErrorKind::TimedOut {
            self.calls.idle("upgraded");
        } else {
            self.reset = true;
        }
        Failure::Broken { target: self.target.to_string(), error }
    }

    fn poll_attempt(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Attempt>> {
        // That the request is stuck is no reason not to read the answer, which may well say why.
        self.poll_request(cx).map_err(Attempt::Failed)?;
        let target = || self.target.to_string();
        let Pair { down, up, request, response, .. } = &mut *self.pair;
        let Some(up) = up else { return Poll::Ready(Err(Attempt::Nothing(io::ErrorKind::NotConnected.into()))) };
        loop {
            if ready!(down.poll_flush(cx)).is_err() {
                self.reset = true;
                return Poll::Ready(Err(Attempt::Failed(Failure::CallerGone)));
            }
            match response.read(&mut up.input, &self.sidecar.limits, request.method()) {
                Ok(false) => {}
                Ok(true) if matches!(response.status(), 100 | 102..=199) => {
                    response.strip_hop_by_hop(false);
                    response.write(down.outgoing());
                    continue;
                }
                Ok(true) if response.status() == 101 && request.upgrade().is_none() => {
                    let failure = Failure::BadAnswer { target: target(), flaw: "unasked_upgrade" };
                    return Poll::Ready(Err(Attempt::Failed(failure)));
                }
                Ok(true) => return Poll::Ready(Ok(())),
                Err(error) => return Poll::Ready(Err(Attempt::Failed(Failure::of_answer(error, self.target)))),
            }
            match ready!(up.poll_fill(cx)) {
                Ok(0) if up.input.is_empty() => {
                    return Poll::Ready(Err(Attempt::Nothing(io::ErrorKind::UnexpectedEof.into())));
                }
                Ok(0) => {
                    return Poll::Ready(Err(Attempt::Failed(Failure::NoAnswer { target: target() })));
                }
                Ok(_) => {}
                Err(error) if up.input.is_empty() => return Poll::Ready(Err(Attempt::Nothing(error))),
                Err(error) => {
                    return Poll::Ready(Err(Attempt::Failed(Failure::Broken { target: target(), error })));
                }
            }
        }
    }

    /// Moves the request on as far as it goes. Once it is through, watches for a caller who hangs up. Pending and
    /// ready are the same here: the exchange ends with the answer.
    fn poll_request(&mut self, cx: &mut Context<'_>) -> Result<(), Failure> {
        let Pair { down, up: Some(up), .. } = &mut *self.pair else { return Ok(()) };
        if !self.request_stuck {
            match self.request.poll(cx, down, up) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(PumpError::Write(error))) => {
                    tracing::debug!(target = %self.target, %error, "the request's body is not taken");
                    self.request_stuck = true;
                }
                Poll::Ready(Err(PumpError::Broken(error))) if !down.ended => {
                    return Err(Failure::BadRequest(error.reason()));
                }
                // The end in the middle of the body is passed on below.
                Poll::Ready(Err(PumpError::Broken(_))) => self.request_stuck = true,
                Poll::Ready(Err(PumpError::Read(_))) => {
                    self.reset = true;
                    return Err(Failure::CallerGone);
                }
            }
        }
        // What the caller said before it ended its side comes first: a request that waits for this one to be over.
        let ended_later = down.ended && !down.input.is_empty();
        if down.input.len() >= READ_AHEAD_BYTES || self.half_closed || ended_later {
            return Ok(());
        }
        match down.poll_fill(cx) {
            Poll::Ready(Ok(0)) if !down.input.is_empty() => Ok(()),
            Poll::Ready(Ok(0)) => {
                // What the caller has ended, the application sees ended; it decides whether to answer all the same.
                self.half_closed = true;
                if let Poll::Ready(Err(error)) = up.poll_end(cx) {
                    tracing::debug!(target = %self.target, %error, "cannot pass on a half-close");
                }
                Ok(())
            }
            Poll::Ready(Err(_)) => {
                self.reset = true;
                Err(Failure::CallerGone)
            }
            // More is there than this request: it waits, up to the bound above.
            Poll::Ready(Ok(_)) => {
                cx.waker().wake_by_ref();
                Ok(())
            }
            Poll::Pending => Ok(()),
        }
    }

    fn poll_deliver(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        if !self.refused {
            self.poll_request(cx)?;
        }
        let Pair { down, up: Some(up), .. } = &mut *self.pair else {
            return down_flushed(self.pair.down.poll_flush(cx));
        };
        match ready!(self.response.poll(cx, up, down)) {
            Ok(()) => {}
            Err(PumpError::Write(_)) => {
                self.reset = true;
                return Poll::Ready(Err(Failure::CallerGone));
            }
            Err(PumpError::Read(error)) => {
                self.reset = true;
                return Poll::Ready(Err(Failure::Broken { target: self.target.to_string(), error }));
            }
            Err(PumpError::Broken(error)) => {
                // What came before the flaw has been passed on and stands; the end is missing, as it is here.
                tracing::debug!(target = %self.target, %error, "an answer broke off");
                return match down.poll_flush(cx) {
                    Poll::Pending => Poll::Pending,
                    Poll::Ready(_) => Poll::Ready(Err(Failure::AnswerCutShort { target: self.target.to_string() })),
                };
            }
        }
        // An application may answer before it has read all of the request, and go on reading until it closes.
        if !self.request.is_ended() && !self.request_stuck && !up.ended {
            let _ = ready!(up.poll_fill(cx));
        }
        Poll::Ready(Ok(()))
    }
}

fn down_flushed(flushed: Poll<io::Result<()>>) -> Poll<Result<(), Failure>> {
    flushed.map_err(|_| Failure::CallerGone)
}

impl Exchange for Exchange1<'_> {
    type Request = RequestHead;
    type Response = ResponseHead;

    fn request(&mut self) -> &mut RequestHead {
        &mut self.pair.request
    }

    async fn connect(&mut self) -> Result<Option<IpAddr>, Failure> {
        if self.pair.up.is_none() {
            self.dial().await?;
        }
        Ok(self.pair.up.as_ref().and_then(|up| up.address))
    }

    async fn send(&mut self) -> Result<(), Failure> {
        let head = &mut self.pair.request;
        let upgrade = head.upgrade().is_some_and(|protocols| !offers_http2(protocols));
        head.strip_hop_by_hop(upgrade);
        self.connect().await?;
        let reused = !self.fresh;
        let outcome = self.attempt().await;
        if reused && let Err(Attempt::Nothing(error)) = &outcome {
            // The application closed the connection just as we used it again. A request that may be made twice is;
            // any other ends as it would have without us, with a closed connection.
            let head = &self.pair.request;
            self.again = head.framing() == Framing::None && is_idempotent(head.method());
            self.reset = !self.again && error.kind() == io::ErrorKind::ConnectionReset;
            return Err(Failure::ClosedWhileIdle { target: self.target.to_string() });
        }
        outcome.map_err(|attempt| match attempt {
            Attempt::Failed(failure) => failure,
            Attempt::Nothing(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Failure::NoAnswer { target: self.target.to_string() }
            }
            Attempt::Nothing(error) => Failure::broken(self.target.to_string(), error),
        })?;
        self.response = Pump::within(self.pair.response.framing(), self.sidecar.limits);
        Ok(())
    }

    fn again(&mut self) -> bool {
        if std::mem::take(&mut self.again) {
            self.calls.retried();
            self.pair.up = None;
            self.request_stuck = false;
            self.half_closed = false;
            return true;
        }
        false
    }

    fn response(&mut self) -> &mut ResponseHead {
        &mut self.pair.response
    }

    async fn deliver(&mut self) -> Result<(), Failure> {
        if self.refused && self.reset {
            return Ok(());
        }
        if self.refused {
            finish(&mut self.pair.down).await;
            self.pair.lingers = true;
            return Ok(());
        }
        let Pair { down, request, response: head, .. } = &mut *self.pair;
        self.tunnel = head.status() == 101 || request.method() == "CONNECT" && head.status() / 100 == 2;
        self.persistent = self.request_persistent
            && head.persistent()
            && head.framing() != Framing::UntilClose
            && !self.tunnel
            && !self.request_stuck
            && !self.half_closed
            && !self.sidecar.drain.is_draining();
        // A server that asks for another protocol (426), or offers one, is heard, as the answer to it would be.
        let upgrade = head.first("upgrade").is_some_and(|protocols| !offers_http2(protocols));
        head.strip_hop_by_hop(self.tunnel || upgrade);
        if !self.tunnel {
            // Whoever reads an answer of HTTP/1.0 takes its end for granted, whatever was asked.
            let reader = request.version().min(head.version());
            head.announce_persistence(self.persistent, reader);
        }
        head.write(down.outgoing());
        if self.tunnel {
            // Bytes without framing, both ways, each until its sender ends.
            self.request = Pump::new(Framing::UntilClose);
            self.response = Pump::new(Framing::UntilClose);
            let Pair { down, up: Some(up), .. } = &mut *self.pair else { return Ok(()) };
            let pumps = (&mut self.request, &mut self.response);
            let ended = tunnel::run((down, up), pumps, self.sidecar.config.idle_timeout).await;
            return ended.map_err(|error| self.tunnel_broken(error));
        }
        if let Err(failure) = std::future::poll_fn(|cx| self.poll_deliver(cx)).await {
            self.persistent = false;
            return Err(failure);
        }
        // What the application said beyond its answer must not be taken for the next one.
        self.persistent &= self.pair.up.as_ref().is_some_and(|up| up.input.is_empty() && !up.ended);
        let request_ended = self.request.is_ended();
        self.persistent &= request_ended;
        if !self.persistent && !request_ended && !self.half_closed {
            // The answer ends here, and with it the span.
            finish(&mut self.pair.down).await;
            self.pair.lingers = true;
        }
        Ok(())
    }

    async fn refuse(&mut self, failure: &Failure) {
        self.refused = true;
        self.persistent = false;
        if self.reset {
            self.pair.reset();
        }
        self.pair.up = None;
        if let Some(status) = failure.status() {
            write_refusal(self.pair.down.outgoing(), status, failure, self.pair.request.method() == "HEAD");
        }
    }

    fn payloads(&self) -> (u64, u64) {
        (self.request.payload(), self.response.payload())
    }

    fn caller(&self) -> Option<&Arc<Peer>> {
        self.pair.down.peer()
    }

    fn callee(&self) -> Option<&Arc<Peer>> {
        self.pair.up.as_ref().and_then(Conn::peer)
    }
}

/// Whether an `Upgrade` offers HTTP/2. The offer is not passed on: behind it we would see bytes and no calls, and
/// requests could be smuggled past whoever checks them (RFC 9113 has dropped this way into HTTP/2). The caller
/// goes on in HTTP/1.1, as with every server that does not know it.
fn offers_http2(protocols: &[u8]) -> bool {
    protocols.split(|&byte| byte == b',').any(|protocol| protocol.trim_ascii().eq_ignore_ascii_case(b"h2c"))
}

/// RFC 9110, section 9.2.2.
fn is_idempotent(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE")
}
