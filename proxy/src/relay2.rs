//! HTTP/2: one caller's connection, the one connection made for it, and the streams that pass over the pair.
//!
//! Framing, flow control and header compression are the h2 library's; here is only what joins its two sides. The
//! connection that is made: `pair2.rs`.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{Request, Response, header, request, response};
use raceway_tls::Peer;
use tokio::task::JoinSet;

use crate::drain::Drain;
use crate::exchange::Exchange;
use crate::failure::Failure;
use crate::http1::Limits;
use crate::pair::Pair;
use crate::pair2::{CONNECTION_WINDOW_BYTES, Pair2, SEND_BYTES_MAX, STREAM_WINDOW_BYTES, STREAMS_MAX};
use crate::pump2::{Pump2, Pump2Error};
use crate::refusal::fill_refusal;
use crate::upstream::{Dialer, Target};
use crate::watched::Watched;

/// How a connection ended in order.
pub(crate) enum Ended {
    /// One side closed it, or the sidecar stops.
    Closed,
    /// No stream was open for too long.
    Idle,
}

/// Serves a connection that begins with the HTTP/2 preface until either side closes it, or nothing is asked for
/// `idle`. `carry` handles one exchange; `refused` hears the reason for each stream that the library refuses.
pub(crate) async fn serve<F>(
    pair: Box<Pair>,
    target: Arc<Target>,
    (dialer, limits, drain, idle): (Arc<Dialer>, Limits, Drain, Duration),
    refused: impl Fn(&'static str) + Send + 'static,
    carry: impl Fn(Exchange2) -> F,
) -> Result<Ended, h2::Error>
where
    F: Future<Output = ()> + Send + 'static,
{
    let Pair { down, up, failed, .. } = *pair;
    let pair = Arc::new(Pair2::new(down.peer().cloned(), (up, failed), target, dialer, limits));
    let mut builder = h2::server::Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buffer_size(SEND_BYTES_MAX)
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(pair.head_bytes);
    let down = Watched::new(down, pair.own_resets.clone(), refused);
    let mut connection = builder.handshake::<_, Bytes>(down).await?;
    // Dropped with this function: whatever is still running then is ended, and its spans are recorded as abandoned.
    let mut streams = JoinSet::new();
    let (mut closing, mut ended) = (false, Ended::Closed);
    // Rings at the end of a period; only one in which no stream was open counts.
    let mut alarm = std::pin::pin!(tokio::time::sleep(idle));
    let mut asked = false;
    // At once: what the server allows is what the caller may do.
    let mut meets = std::pin::pin!(pair.sender());
    let (mut met, mut welcome, mut told_off) = (false, false, false);
    loop {
        let accepted = std::future::poll_fn(|cx| {
            let accepted = connection.poll_accept(cx);
            // Not possible before the caller has acknowledged the settings it has been sent.
            if welcome && connection.enable_connect_protocol().is_ok() {
                welcome = false;
                cx.waker().wake_by_ref();
            }
            accepted
        });
        tokio::select! {
            accepted = accepted => {
                let (request, respond) = match accepted {
                    Some(Ok(accepted)) => accepted,
                    // The word was the server's.
                    Some(Err(_)) if told_off => return Ok(ended),
                    Some(Err(error)) => {
                        if error.get_io().is_some_and(|error| error.kind() == io::ErrorKind::ConnectionReset) {
                            pair.break_off();
                        }
                        return Err(error);
                    }
                    None => return Ok(ended),
                };
                asked = true;
                streams.spawn(carry(Exchange2::new(Arc::clone(&pair), request, respond)));
            }
            Some(_) = streams.join_next() => asked = true,
            _ = &mut meets, if !met => met = true,
            news = pair.news() => {
                welcome |= news.extended_connect;
                match news.told_off {
                    Some(reason) if news.closed => {
                        (closing, told_off) = (true, true);
                        connection.abrupt_shutdown(reason);
                    }
                    // Its streams may still be answered, and then this is said.
                    Some(_) => {}
                    None if news.leaving && !closing => {
                        closing = true;
                        connection.graceful_shutdown();
                    }
                    None => {}
                }
            }
            () = &mut alarm, if streams.is_empty() => {
                if std::mem::take(&mut asked) {
                    alarm.as_mut().reset(tokio::time::Instant::now() + idle);
                } else if closing {
                    // The farewell waits for a word of the caller's, who may be gone for long.
                    return Ok(ended);
                } else {
                    (closing, ended) = (true, Ended::Idle);
                    alarm.as_mut().reset(tokio::time::Instant::now() + idle);
                    connection.graceful_shutdown();
                }
            }
            () = drain.draining(), if !closing => {
                closing = true;
                connection.graceful_shutdown();
            }
        }
    }
}

/// Answers a request that goes nowhere; the others on its connection are not concerned.
pub(crate) async fn refuse(mut exchange: Exchange2, failure: &Failure) {
    exchange.refuse(failure).await;
    if let Err(failure) = exchange.deliver().await {
        tracing::debug!(%failure, "a caller did not wait for an answer of our own");
    }
}

/// What a caller did to have its connection ended by the library; `None` where it just left.
pub(crate) fn flaw(error: &h2::Error) -> Option<&'static str> {
    if error.is_io() || error.is_remote() {
        return None;
    }
    Some(match error.reason() {
        Some(Reason::PROTOCOL_ERROR) => "h2_protocol_error",
        Some(Reason::FLOW_CONTROL_ERROR) => "h2_flow_control_error",
        Some(Reason::FRAME_SIZE_ERROR) => "h2_frame_size_error",
        Some(Reason::COMPRESSION_ERROR) => "h2_compression_error",
        Some(Reason::ENHANCE_YOUR_CALM) => "h2_enhance_your_calm",
        _ => "h2_error",
    })
}

/// One stream of a caller and the stream made for it.
pub(crate) struct Exchange2 {
    pair: Arc<Pair2>,
    head: request::Parts,
    body: Option<RecvStream>,
    sender: Option<(SendRequest<Bytes>, Option<IpAddr>)>,
    respond: SendResponse<Bytes>,
    answer: response::Parts,
    request: Option<Pump2>,
    /// Where the request went, once all of its body has gone there or no more is taken.
    to_app: Option<SendStream<Bytes>>,
    answer_body: Option<RecvStream>,
    response: Option<Pump2>,
    refused: Option<Bytes>,
    payloads: (u64, u64),
}

impl Exchange2 {
    fn new(pair: Arc<Pair2>, request: Request<RecvStream>, respond: SendResponse<Bytes>) -> Self {
        let (head, body) = request.into_parts();
        let (answer, ()) = Response::new(()).into_parts();
        Self {
            pair,
            head,
            body: Some(body),
            sender: None,
            respond,
            answer,
            request: None,
            to_app: None,
            answer_body: None,
            response: None,
            refused: None,
            payloads: (0, 0),
        }
    }

    /// Whether the head of the request may pass. The library has seen to pseudo-headers and to fields that belong to
    /// HTTP/1's framing.
    pub(crate) fn admit(&self) -> Result<(), Failure> {
        if self.head.headers.len() > self.pair.fields_max {
            return Err(Failure::RequestHeadTooLarge("too_many_fields"));
        }
        let mut hosts = self.head.headers.get_all(header::HOST).iter();
        let (host, further) = (hosts.next(), hosts.next());
        if further.is_some() {
            return Err(Failure::BadRequest("several_hosts"));
        }
        match (self.head.uri.authority(), host) {
            (Some(authority), Some(host)) if !authority.as_str().as_bytes().eq_ignore_ascii_case(host.as_bytes()) => {
                Err(Failure::BadRequest("host_contradicts_target"))
            }
            _ => Ok(()),
        }
    }

    /// Moves the request's body on, and notices when the caller cancels.
    fn poll_request(&mut self, cx: &mut Context<'_>) -> Result<(), Failure> {
        if let Some(pump) = &mut self.request
            && let Poll::Ready(ended) = pump.poll(cx)
        {
            self.payloads.0 = pump.payload;
            match ended {
                // A server may answer and stop reading (RST_STREAM with NO_ERROR): the answer tells.
                Ok(()) | Err(Pump2Error::Write(_)) => self.to_app = self.request.take().map(|pump| pump.to),
                Err(Pump2Error::Read(reason)) => {
                    pump.to.send_reset(reason);
                    return Err(Failure::CallerGone);
                }
                Err(Pump2Error::TooManyTrailers) => {
                    pump.to.send_reset(Reason::CANCEL);
                    return Err(Failure::RequestHeadTooLarge("too_many_fields"));
                }
            }
        }
        Ok(())
    }

    fn cancel(&mut self, reason: Reason) {
        let on_its_way = self.request.as_mut().map(|pump| &mut pump.to);
        if let Some(to) = on_its_way.or(self.to_app.as_mut()) {
            to.send_reset(reason);
        }
    }
}

impl Exchange for Exchange2 {
    type Request = request::Parts;
    type Response = response::Parts;

    fn request(&mut self) -> &mut request::Parts {
        &mut self.head
    }

    async fn connect(&mut self) -> Result<Option<IpAddr>, Failure> {
        let sender = tokio::select! {
            sender = self.pair.sender() => sender?,
            _ = std::future::poll_fn(|cx| self.respond.poll_reset(cx)) => return Err(Failure::CallerGone),
        };
        Ok(self.sender.insert(sender).1)
    }

    async fn send(&mut self) -> Result<(), Failure> {
        if self.sender.is_none() {
            self.connect().await?;
        }
        let pair = Arc::clone(&self.pair);
        let sender = self.sender.take();
        let connected = async {
            let (sender, _) = match sender {
                Some(sender) => sender,
                None => pair.sender().await?,
            };
            sender.ready().await.map_err(|error| pair.closed(error))
        };
        let mut sender = tokio::select! {
            sender = connected => sender?,
            _ = std::future::poll_fn(|cx| self.respond.poll_reset(cx)) => return Err(Failure::CallerGone),
        };
        let mut request = Request::new(());
        *request.method_mut() = self.head.method.clone();
        *request.uri_mut() = self.head.uri.clone();
        *request.headers_mut() = std::mem::take(&mut self.head.headers);
        // Without an authority (the caller has put it into `Host`, or has none), the library sends only what says that
        // it comes from HTTP/1.
        let authority = self.head.uri.authority().is_some();
        *request.version_mut() = if authority { http::Version::HTTP_2 } else { http::Version::HTTP_11 };
        if let Some(protocol) = self.head.extensions.get::<h2::ext::Protocol>().cloned() {
            request.extensions_mut().insert(protocol);
        }
        let bodiless = self.body.as_ref().is_none_or(RecvStream::is_end_stream);
        let safe = bodiless && self.head.method.is_idempotent();
        let (mut answer, to) = sender.send_request(request, bodiless).map_err(|error| self.pair.failure(error))?;
        self.request = self.body.take().map(|from| Pump2::new(from, to, bodiless, pair.fields_max));
        let answered = std::future::poll_fn(|cx| {
            self.poll_request(cx)?;
            if let Poll::Ready(reset) = self.respond.poll_reset(cx) {
                self.cancel(reset.unwrap_or(Reason::CANCEL));
                return Poll::Ready(Err(Failure::CallerGone));
            }
            while let Poll::Ready(Some(Ok(interim))) = answer.poll_informational(cx) {
                if let Err(error) = self.respond.send_informational(interim) {
                    tracing::debug!(%error, "an interim answer was not passed on");
                }
            }
            let answered = ready!(std::pin::Pin::new(&mut answer).poll(cx));
            Poll::Ready(answered.map_err(|error| if safe { self.pair.closed(error) } else { self.pair.failure(error) }))
        })
        .await?;
        self.pair.has_answered();
        let (answer, body) = answered.into_parts();
        if answer.headers.len() > self.pair.fields_max {
            self.cancel(Reason::CANCEL);
            return Err(Failure::AnswerHeadTooLarge { target: self.pair.target.to_string() });
        }
        self.answer = answer;
        self.answer_body = Some(body);
        Ok(())
    }

    fn response(&mut self) -> &mut response::Parts {
        &mut self.answer
    }

    async fn deliver(&mut self) -> Result<(), Failure> {
        let mut response = Response::new(());
        *response.status_mut() = self.answer.status;
        *response.headers_mut() = std::mem::take(&mut self.answer.headers);
        let bodiless = match (&self.refused, &self.answer_body) {
            (Some(text), _) => text.is_empty(),
            (None, body) => body.as_ref().is_none_or(RecvStream::is_end_stream),
        };
        let mut to = self.respond.send_response(response, bodiless).map_err(|_| Failure::CallerGone)?;
        if let Some(text) = self.refused.take() {
            return if bodiless { Ok(()) } else { to.send_data(text, true).map_err(|_| Failure::CallerGone) };
        }
        let fields_max = self.pair.fields_max;
        self.response = self.answer_body.take().map(|from| Pump2::new(from, to, bodiless, fields_max));
        let mut cut = None;
        let ended = std::future::poll_fn(|cx| {
            let request = self.poll_request(cx);
            let Some(pump) = &mut self.response else {
                // Answered; what the caller still says, or that it stops, is the application's to hear.
                return if request.is_ok() && self.request.is_some() { Poll::Pending } else { Poll::Ready(Ok(())) };
            };
            request?;
            let ended = pump.poll(cx);
            self.payloads.1 = pump.payload;
            match ready!(ended) {
                Ok(()) => {
                    self.response = None;
                    if self.request.is_some() { Poll::Pending } else { Poll::Ready(Ok(())) }
                }
                Err(Pump2Error::Write(reason)) => {
                    self.cancel(reason);
                    Poll::Ready(Err(Failure::CallerGone))
                }
                Err(Pump2Error::Read(reason)) => {
                    cut = Some(reason);
                    Poll::Ready(Err(Failure::AnswerCutShort { target: self.pair.target.to_string() }))
                }
                Err(Pump2Error::TooManyTrailers) => {
                    cut = Some(Reason::INTERNAL_ERROR);
                    Poll::Ready(Err(Failure::AnswerHeadTooLarge { target: self.pair.target.to_string() }))
                }
            }
        })
        .await;
        if let (Some(reason), Some(pump)) = (cut, &mut self.response) {
            // A reset takes along what is not written yet: whoever writes comes first.
            tokio::task::yield_now().await;
            self.pair.own_resets.note(reason);
            pump.to.send_reset(reason);
        }
        ended
    }

    async fn refuse(&mut self, failure: &Failure) {
        let reset = match failure {
            Failure::Stream { error, .. } if error.is_reset() && error.is_remote() => error.reason(),
            // Not looked at (RFC 9113, section 6.8), or safe to ask twice: the caller is told so, and asks again over
            // another connection as it would have without us.
            Failure::Stream { error, .. } if error.is_go_away() && error.is_remote() => Some(Reason::REFUSED_STREAM),
            Failure::ClosedWhileIdle { .. } => Some(Reason::REFUSED_STREAM),
            Failure::Stream { .. } if self.pair.told_off().is_some() => self.pair.told_off(),
            _ if failure.status().is_none() => Some(Reason::CANCEL),
            _ => None,
        };
        if let Some(reason) = reset {
            self.pair.own_resets.note(reason);
            self.respond.send_reset(reason);
        }
        let grpc = self.head.headers.get(header::CONTENT_TYPE).or(self.answer.headers.get(header::CONTENT_TYPE));
        let grpc = grpc.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
        self.refused = Some(fill_refusal(&mut self.answer, failure, grpc));
    }

    fn payloads(&self) -> (u64, u64) {
        let passed = |pump: &Option<Pump2>, before| pump.as_ref().map_or(before, |pump| pump.payload);
        (passed(&self.request, self.payloads.0), passed(&self.response, self.payloads.1))
    }

    fn caller(&self) -> Option<&Arc<Peer>> {
        self.pair.caller.as_ref()
    }

    fn callee(&self) -> Option<&Arc<Peer>> {
        self.pair.callee.get()
    }
}
