//! HTTP/1: one caller's connection and the one made for it, between requests.

use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::conn::Conn;
use crate::failure::Failure;
use crate::http1::{Limits, RequestHead, ResponseHead};
use crate::refusal::{close_politely, linger, write_refusal};
use crate::upstream::{Dialer, Failed, Target};

/// How long a connection that idles keeps the memory of its last heads. Busy ones use it again sooner than that.
const HEADS_KEPT: Duration = Duration::from_secs(1);

/// A caller's connection and what belongs to it for life.
pub(crate) struct Pair {
    pub(crate) down: Conn,
    /// The connection to where the last request went, kept for the next.
    pub(crate) up: Option<Conn>,
    /// Why there is none, where dialling at once has failed.
    pub(crate) failed: Option<Failed>,
    /// Reused from request to request, so that a warm connection allocates nothing for heads.
    pub(crate) request: RequestHead,
    pub(crate) response: ResponseHead,
    /// The last answer has ended before its request had: what is still to come is read for a moment.
    pub(crate) lingers: bool,
}

/// What came of waiting for a request.
pub(crate) enum Next {
    /// A head is in [`Pair::request`].
    Request,
    /// The caller is done, or where requests go has closed the connection: so do we.
    Over,
    /// Nothing came for too long.
    Idle,
    /// What came is not a request we can pass on.
    Refused(Failure),
}

impl Pair {
    pub(crate) fn new(down: Conn) -> Self {
        let (request, response) = (RequestHead::default(), ResponseHead::default());
        Self { down, up: None, failed: None, request, response, lingers: false }
    }

    /// Connects to where requests go, without TLS, or remembers why that failed.
    pub(crate) async fn dial(&mut self, dialer: &Dialer, target: &Target) {
        match dialer.dial(target).await {
            Ok(up) => self.up = Some(up),
            Err(failure) => self.failed = Some(failure.into()),
        }
    }

    /// Waits for the next request: for `idle` until it begins, then for `patience` until its head is whole.
    pub(crate) async fn next(&mut self, limits: &Limits, (idle, patience): (Duration, Duration)) -> Next {
        match self.request.read(&mut self.down.input, limits) {
            Ok(true) => return Next::Request,
            Ok(false) => {}
            Err(error) => return Next::Refused(Failure::of_request(error)),
        }
        if self.down.input.is_empty() {
            match self.idle(idle).await {
                Some(Ok(true)) => {}
                Some(Ok(false)) => return Next::Over,
                Some(Err(_)) => {
                    self.reset();
                    return Next::Over;
                }
                None => return Next::Idle,
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

    /// Waits until something happens between two requests, at most for so long.
    async fn idle(&mut self, most: Duration) -> Option<io::Result<bool>> {
        let busy = HEADS_KEPT.min(most);
        if let Ok(happened) = tokio::time::timeout(busy, std::future::poll_fn(|cx| self.poll_idle(cx))).await {
            return Some(happened);
        }
        self.request.release();
        self.response.release();
        tokio::time::timeout(most - busy, std::future::poll_fn(|cx| self.poll_idle(cx))).await.ok()
    }

    /// No request follows.
    pub(crate) async fn end(&mut self, reset: bool) {
        if reset {
            self.reset();
        } else if self.lingers {
            linger(&mut self.down).await;
        }
    }

    /// One side has broken the connection (RST): both learn of it in the same way.
    pub(crate) fn reset(&mut self) {
        self.down.reset();
        if let Some(up) = &mut self.up {
            up.reset();
        }
    }

    /// Ready with `true` when the caller sends something, with `false` when either side closes. Whatever the other
    /// side says unasked (a last `408`, say) goes to the caller as it is.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if let Poll::Ready(count) = self.down.poll_fill(cx)? {
            // Not one byte of the request has been written to a connection that is closed by now: another one takes it,
            // whatever its method.
            if let Some(up) = &mut self.up
                && let Poll::Ready(Ok(0) | Err(_)) = up.poll_fill(cx)
            {
                self.up = None;
            }
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
}
