//! What can go wrong between a caller and its answer, and what the caller is told.

use std::io;
use std::time::Duration;

use raceway_tls::Trouble;

use crate::http1::HeadError;

/// Why a request got no answer from where it was going.
///
/// The text is what the caller reads: it names what to look at. [`Failure::reason`] is the short form for
/// `x-raceway-error`, `error.type` and the counters.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Nothing accepts connections there.
    #[error("connecting to {target} failed: {error}; is anything listening there?")]
    Unreachable { target: String, error: io::Error },
    /// The name has no address.
    #[error("the name in {target} does not resolve: {error}; check the spelling and the DNS")]
    Unresolved { target: String, error: io::Error },
    /// Nothing answered the attempt to connect.
    #[error("connecting to {target} timed out after {after:?}; a firewall or NetworkPolicy may drop it")]
    ConnectTimeout { target: String, after: Duration },
    /// The destination is one of our own listeners.
    #[error("{target} is this sidecar itself: a loop; check --route and --inbound")]
    Loop { target: String },
    /// The connection ended before the answer began.
    #[error("{target} closed the connection without answering")]
    NoAnswer { target: String },
    /// A kept-alive connection ended before the answer began: the caller is shown just that.
    #[error("{target} closed a kept-alive connection")]
    ClosedWhileIdle { target: String },
    /// The connection broke.
    #[error("the connection to {target} broke: {error}")]
    Broken { target: String, error: io::Error },
    /// The answer ended in the middle.
    #[error("{target} broke off in the middle of its answer")]
    AnswerCutShort { target: String },
    /// The answer is not HTTP, or says two things at once.
    #[error("{target} sent an answer that cannot be passed on safely: {flaw}")]
    BadAnswer { target: String, flaw: &'static str },
    /// The answer's head is larger than we hold.
    #[error("the head of the answer from {target} is too large; see --head-bytes-max and --head-fields-max")]
    AnswerHeadTooLarge { target: String },
    /// The request is not HTTP, or says two things at once.
    #[error("the request cannot be passed on safely: {0}")]
    BadRequest(&'static str),
    /// The request's head is larger than we hold; the reason says in what.
    #[error("the request's head is too large; see --head-bytes-max and --head-fields-max")]
    RequestHeadTooLarge(&'static str),
    /// The request's target is not one that a forward proxy serves.
    #[error("{0}")]
    NotForProxy(&'static str),
    /// As many requests as allowed are in flight already.
    #[error("this sidecar carries as many requests as --requests-max allows; is the service behind it slow?")]
    Overloaded,
    /// The request's head did not come in time.
    #[error("the request's head did not arrive within {0:?}")]
    RequestTimeout(Duration),
    /// The forward proxy serves this address to nobody.
    #[error("{0} may not use this proxy; see --outbound-allow")]
    NotAllowed(std::net::IpAddr),
    /// The HTTP/2 stream or connection failed.
    #[error("{target} ended the stream: {error}")]
    Stream { target: String, error: h2::Error },
    /// TLS with the other side did not come about, or ended over a certificate.
    #[error("TLS with {target} failed: {trouble}{}", advice(trouble))]
    Tls { target: String, trouble: Trouble },
    /// Plain text where TLS is required.
    #[error("this port takes TLS only: write https://, or see --inbound-tls")]
    TlsRequired,
    /// The caller went away first; there is nobody to answer.
    #[error("the caller went away")]
    CallerGone,
}

impl Failure {
    /// Where `HeadError` came from a request.
    pub(crate) fn of_request(error: HeadError) -> Self {
        match error {
            HeadError::TooLarge | HeadError::TooManyFields => Self::RequestHeadTooLarge(error.reason()),
            HeadError::Bad(flaw) => Self::BadRequest(flaw),
        }
    }

    /// Where `HeadError` came from a response of `target`.
    pub(crate) fn of_answer(error: HeadError, target: &impl ToString) -> Self {
        let target = target.to_string();
        match error {
            HeadError::TooLarge | HeadError::TooManyFields => Self::AnswerHeadTooLarge { target },
            HeadError::Bad(flaw) => Self::BadAnswer { target, flaw },
        }
    }

    /// The connection to `target` broke, in general or over TLS.
    pub(crate) fn broken(target: String, error: io::Error) -> Self {
        match Trouble::in_error(&error) {
            Some(trouble) => Self::Tls { target, trouble },
            None => Self::Broken { target, error },
        }
    }

    /// The same once more, for others who asked to be connected to the same target.
    pub(crate) fn again(&self) -> Self {
        let copy = |error: &io::Error| match error.raw_os_error() {
            Some(code) => io::Error::from_raw_os_error(code),
            None => io::Error::new(error.kind(), error.to_string()),
        };
        match self {
            Self::Unreachable { target, error } => Self::Unreachable { target: target.clone(), error: copy(error) },
            Self::Unresolved { target, error } => Self::Unresolved { target: target.clone(), error: copy(error) },
            Self::ConnectTimeout { target, after } => Self::ConnectTimeout { target: target.clone(), after: *after },
            Self::Loop { target } => Self::Loop { target: target.clone() },
            Self::Tls { target, trouble } => Self::Tls { target: target.clone(), trouble: trouble.clone() },
            // No other comes of connecting.
            other => Self::Unreachable { target: "it".to_owned(), error: io::Error::other(other.to_string()) },
        }
    }

    /// The status our own answer has; `None` where the connection ends without one.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Unreachable { .. }
            | Self::Unresolved { .. }
            | Self::Loop { .. }
            | Self::NoAnswer { .. }
            | Self::Broken { .. }
            | Self::BadAnswer { .. }
            | Self::Stream { .. }
            | Self::Tls { .. }
            | Self::AnswerHeadTooLarge { .. } => Some(502),
            Self::ConnectTimeout { .. } => Some(504),
            Self::BadRequest(_) | Self::NotForProxy(_) | Self::TlsRequired => Some(400),
            Self::Overloaded => Some(503),
            Self::NotAllowed(_) => Some(403),
            Self::RequestTimeout(_) => Some(408),
            Self::RequestHeadTooLarge(_) => Some(431),
            Self::ClosedWhileIdle { .. } | Self::AnswerCutShort { .. } | Self::CallerGone => None,
        }
    }

    /// One word for headers, spans and counters.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "unreachable",
            Self::Unresolved { .. } => "unresolved",
            Self::ConnectTimeout { .. } => "connect_timeout",
            Self::Loop { .. } => "loop",
            Self::NoAnswer { .. } => "no_answer",
            Self::ClosedWhileIdle { .. } => "closed_while_idle",
            Self::Broken { .. } => "broken",
            Self::AnswerCutShort { .. } => "answer_cut_short",
            Self::BadAnswer { flaw, .. } => flaw,
            Self::AnswerHeadTooLarge { .. } => "answer_head_too_large",
            Self::BadRequest(flaw) | Self::RequestHeadTooLarge(flaw) => flaw,
            Self::NotForProxy(_) => "not_for_proxy",
            Self::Overloaded => "overloaded",
            Self::RequestTimeout(_) => "request_timeout",
            Self::NotAllowed(_) => "not_allowed",
            Self::Stream { .. } => "stream",
            Self::Tls { trouble, .. } => trouble.reason(),
            Self::TlsRequired => "tls_required",
            Self::CallerGone => "abandoned",
        }
    }
}

/// The setting that mends it.
fn advice(trouble: &Trouble) -> &'static str {
    match trouble {
        Trouble::UnknownIssuer => " (--upstream-ca)",
        Trouble::ClientCertificate(_) => " (--upstream-tls-cert)",
        Trouble::NotTls => " of the https:// route",
        _ => "",
    }
}

/// The reason phrase of the statuses we answer ourselves.
pub(crate) fn reason_phrase(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        403 => "Forbidden",
        408 => "Request Timeout",
        431 => "Request Header Fields Too Large",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Error",
    }
}
