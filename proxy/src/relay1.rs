//! HTTP/1: one caller's connection, the one connection made for it, and the exchanges that pass over the pair.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use raceway_tls::{Alpn, Peer};

use crate::conn::Conn;
use crate::exchange::Exchange;
use crate::failure::{Failure, reason_phrase};
use crate::http1::{Framing, Limits, RequestHead, ResponseHead};
use crate::metrics::Calls;
use crate::pump::{Pump, PumpError};
use crate::sidecar::Sidecar;
use crate::tunnel;
use crate::upstream::Target;

/// How far we read ahead of an answer that is still awaited, to notice that the caller hangs up.
const READ_AHEAD_BYTES: usize = 16 * 1024;

/// How long we wait for a caller to read an answer of ours before the connection is closed.
const LINGER: Duration = Duration::from_secs(1);

/// A caller's connection and what belongs to it for life.
pub(crate) struct Pair {
    pub(crate) down: Conn,
    /// The connection to where the last request went, kept for the next.
    pub(crate) up: Option<Conn>,
    /// Reused from request to request, so that a warm connection allocates nothing for heads.
    pub(crate) request: RequestHead,
    response: ResponseHead,
}

/// What came of waiting for a request.
pub(crate) enum Next {
    /// A head is in [`Pair::request`].
    Request,
    /// The caller is done, or where requests go has closed the connection: so do we.
    Over,
    /// What came is not a request we can pass on.
    Refused(Failure),
}

impl Pair {
    pub(crate) fn new(down: Conn, up: Option<Conn>) -> Self {
        Self { down, up, request: RequestHead::default(), response: ResponseHead::default() }
    }

    /// Waits for the next request: for `idle` until it begins, then for `patience` until its head is whole.
    pub(crate) async fn next(&mut self, limits: &Limits, (idle, patience): (Duration, Duration)) -> Next {
        match self.request.read(&mut self.down.input, limits) {
            Ok(true) => return Next::Request,
            Ok(false) => {}
            Err(error) => return Next::Refused(Failure::of_request(error)),
        }
        if self.down.input.is_empty() {
            match tokio::time::timeout(idle, std::future::poll_fn(|cx| self.poll_idle(cx))).await {
                Ok(Ok(true)) => {}
                Ok(Ok(false) | Err(_)) | Err(_) => return Next::Over,
            }
            match self.request.read(&mut self.down.input, limits) {
                Ok(true) => return Next::Request,
                Ok(false) => {}
                Err(error) => return Next::Refused(Failure::of_request(error)),
            }
        }
        let rest = async {
            loop {
                match self.down.fill().await {
                    Ok(0) | Err(_) => return Next::Over,
                    Ok(_) => {}
                }
                match self.request.read(&mut self.down.input, limits) {
                    Ok(true) => return Next::Request,
                    Ok(false) => {}
                    Err(error) => return Next::Refused(Failure::of_request(error)),
                }
            }
        };
        tokio::time::timeout(patience, rest).await.unwrap_or(Next::Refused(Failure::RequestTimeout(patience)))
    }

    /// Ready with `true` when the caller sends something, with `false` when either side closes. Whatever the other
    /// side says unasked (a last `408`, say) goes to the caller as it is.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if let Poll::Ready(count) = self.down.poll_fill(cx)? {
            return Poll::Ready(Ok(count > 0));
        }
        if self.down.output.is_empty() {
            let Some(up) = &mut self.up else { return Poll::Pending };
            if ready!(up.poll_fill(cx))? == 0 {
                return Poll::Ready(Ok(false));
            }
            self.down.outgoing().extend_from_slice(&up.input);
            up.input.clear();
        }
        self.down.poll_flush(cx).map_ok(|()| false)
    }

    /// Answers a request that goes nowhere; the connection ends afterwards.
    pub(crate) async fn refuse(&mut self, failure: &Failure) {
        if let Some(status) = failure.status() {
            write_refusal(self.down.outgoing(), status, failure, self.request.method() == "HEAD");
            close_politely(&mut self.down).await;
        }
    }

    /// Begins the exchange of the request that has just been read.
    pub(crate) fn exchange<'p>(
        &'p mut self,
        sidecar: &'p Sidecar,
        calls: &'p Calls,
        target: &'p Target,
    ) -> Exchange1<'p> {
        let request = Pump::new(self.request.framing());
        Exchange1 {
            request_persistent: self.request.persistent(),
            pair: self,
            sidecar,
            calls,
            target,
            request,
            response: Pump::new(Framing::None),
            request_stuck: false,
            half_closed: false,
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
    /// The receiver of the request's body takes no more of it. Its answer may say why.
    request_stuck: bool,
    /// The caller has ended its side, and so have we towards the application.
    half_closed: bool,
    /// The caller's side of this exchange allows another one.
    request_persistent: bool,
    /// The protocol has changed (101): bytes flow both ways until both sides end.
    tunnel: bool,
    /// We answered ourselves.
    refused: bool,
    /// The application broke the connection (RST), and the caller shall see the same.
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

    /// Whether the caller's connection has to end with a reset.
    pub(crate) fn reset(&self) -> bool {
        self.reset
    }

    async fn connect(&mut self) -> Result<(), Failure> {
        self.pair.up = Some(self.sidecar.dialer.connect(self.target, Alpn::Http1).await?);
        Ok(())
    }

    /// Sends the request over the connection there is, and reads the head of the final answer.
    async fn attempt(&mut self) -> Result<(), Attempt> {
        if let Some(up) = &mut self.pair.up {
            self.pair.request.write(up.outgoing());
        }
        std::future::poll_fn(|cx| self.poll_attempt(cx)).await
    }

    fn poll_attempt(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Attempt>> {
        // That the request is stuck is no reason not to read the answer, which may well say why.
        self.poll_request(cx).map_err(Attempt::Failed)?;
        let target = || self.target.to_string();
        let Pair { down, up, request, response } = &mut *self.pair;
        let Some(up) = up else { return Poll::Ready(Err(Attempt::Nothing(io::ErrorKind::NotConnected.into()))) };
        loop {
            if ready!(down.poll_flush(cx)).is_err() {
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
                Poll::Ready(Err(PumpError::Broken(_) | PumpError::Read(_))) => return Err(Failure::CallerGone),
            }
        }
        if down.input.len() >= READ_AHEAD_BYTES || self.half_closed {
            return Ok(());
        }
        match down.poll_fill(cx) {
            Poll::Ready(Ok(0)) => {
                // What the caller has ended, the application sees ended; it decides whether to answer all the same.
                self.half_closed = true;
                if let Poll::Ready(Err(error)) = up.poll_end(cx) {
                    tracing::debug!(target = %self.target, %error, "cannot pass on a half-close");
                }
                Ok(())
            }
            Poll::Ready(Err(_)) => Err(Failure::CallerGone),
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
            Err(PumpError::Write(_)) => return Poll::Ready(Err(Failure::CallerGone)),
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
        // An application may answer before it has read all of the request, and go on reading.
        if self.persistent && !self.request.is_ended() && !self.request_stuck {
            Poll::Pending
        } else {
            Poll::Ready(Ok(()))
        }
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

    async fn send(&mut self) -> Result<(), Failure> {
        let head = &mut self.pair.request;
        let upgrade = head.upgrade().is_some();
        head.strip_hop_by_hop(upgrade);
        let reused = self.pair.up.is_some();
        if !reused {
            self.connect().await?;
        }
        let mut outcome = self.attempt().await;
        if reused && matches!(outcome, Err(Attempt::Nothing(_))) {
            // The application closed the connection just as we used it again. A request that may be made twice is;
            // any other ends as it would have without us, with a closed connection.
            let head = &self.pair.request;
            if head.framing() != Framing::None || !is_idempotent(head.method()) {
                return Err(Failure::ClosedWhileIdle { target: self.target.to_string() });
            }
            self.calls.retried();
            self.request_stuck = false;
            self.half_closed = false;
            self.connect().await?;
            outcome = self.attempt().await;
        }
        outcome.map_err(|attempt| match attempt {
            Attempt::Failed(failure) => failure,
            Attempt::Nothing(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Failure::NoAnswer { target: self.target.to_string() }
            }
            Attempt::Nothing(error) => Failure::broken(self.target.to_string(), error),
        })?;
        self.response = Pump::new(self.pair.response.framing());
        Ok(())
    }

    fn response(&mut self) -> &mut ResponseHead {
        &mut self.pair.response
    }

    async fn deliver(&mut self) -> Result<(), Failure> {
        if self.refused {
            close_politely(&mut self.pair.down).await;
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
        head.strip_hop_by_hop(self.tunnel);
        if !self.tunnel {
            head.announce_persistence(self.persistent, request.version());
        }
        head.write(down.outgoing());
        if self.tunnel {
            // Bytes without framing, both ways, each until its sender ends.
            self.request = Pump::new(Framing::UntilClose);
            self.response = Pump::new(Framing::UntilClose);
            let Pair { down, up: Some(up), .. } = &mut *self.pair else { return Ok(()) };
            return tunnel::run(down, up, &mut self.request, &mut self.response)
                .await
                .map_err(|error| Failure::Broken { target: self.target.to_string(), error });
        }
        std::future::poll_fn(|cx| self.poll_deliver(cx)).await?;
        // What the application said beyond its answer must not be taken for the next one.
        self.persistent &= self.pair.up.as_ref().is_some_and(|up| up.input.is_empty());
        Ok(())
    }

    async fn refuse(&mut self, failure: &Failure) {
        self.refused = true;
        self.persistent = false;
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

/// RFC 9110, section 9.2.2.
fn is_idempotent(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE")
}

fn write_refusal(out: &mut BytesMut, status: u16, failure: &Failure, head_only: bool) {
    let text = failure.to_string();
    let (reason, phrase) = (failure.reason(), reason_phrase(status));
    let length = text.len() + 1;
    let head = format!(
        "HTTP/1.1 {status} {phrase}\r\nx-raceway-error: {reason}\r\ncontent-type: text/plain; charset=utf-8\r\n\
         content-length: {length}\r\nconnection: close\r\n\r\n"
    );
    out.extend_from_slice(head.as_bytes());
    if !head_only {
        out.extend_from_slice(text.as_bytes());
        out.extend_from_slice(b"\n");
    }
}

/// Writes what there is, ends our side, and reads on for a moment: closing with unread bytes would send a reset,
/// which can take the answer away from the caller before it is read.
async fn close_politely(conn: &mut Conn) {
    let close = async {
        conn.flush().await?;
        std::future::poll_fn(|cx| conn.poll_end(cx)).await?;
        while conn.fill().await? > 0 {
            conn.input.clear();
        }
        io::Result::Ok(())
    };
    if let Ok(Err(error)) = tokio::time::timeout(LINGER, close).await {
        tracing::debug!(%error, "closing after an answer of our own");
    }
}
