//! HTTP/1 on the wire: heads kept as the bytes they came in and edited in place, bodies framed strictly.
//!
//! A sidecar that nobody can tell is there must pass header names, their case and their order untouched, and a
//! sidecar that is safe must never hand on a message which the next reader could cut at another place. No general
//! library offers both, so this is our own. It does no IO: the connection feeds it a buffer and writes out what it
//! says.
//!
//! ```text
//! bytes in ─▶ RequestHead::read ─▶ edit (push, replace, remove, strip_hop_by_hop) ─▶ RequestHead::write ─▶ bytes out
//!                   │ framing()
//!                   └─▶ Body::new ─▶ step, step, … : forward these, skip those, read more, end
//! ```
//!
//! The rule behind every decision is RFC 9112 read strictly: whatever two readers might understand differently is
//! refused (400 towards a caller, 502 where an application answered it), never repaired and passed on.
//!
//! | refused | why |
//! |---|---|
//! | bare LF, bare CR, NUL and other control characters in a head, a chunk size line or a trailer | readers end lines at different places |
//! | a folded header line, a space before the colon, an empty name, a name that is no token | readers see different fields |
//! | `Content-Length` with `Transfer-Encoding`, twice (even if equal), as a list, signed, with a tab, over 2^63-1 | readers cut the body differently |
//! | `Transfer-Encoding` that is not `chunked` and nothing else, has a tab, or stands on HTTP/1.0 | likewise |
//! | a chunk size that is not 1 to 16 hexadecimal digits directly followed by CRLF or an extension | likewise |
//! | framing and routing fields in trailers | a reader that merges trailers into the head would believe them |
//! | no `Host` on HTTP/1.1, two of them, one that is no host | readers route differently |
//! | a version other than `HTTP/1.0` and `HTTP/1.1`, the HTTP/2 preface, more than one space in a request line | not this protocol |
//! | a body on a 204 or 1xx response, or on CONNECT | readers wait for a body, or do not |
//!
//! One CRLF in front of a request line is dropped, as RFC 9112 §2.2 asks (old clients send it after a POST); a second
//! one is refused. Bytes from 0x80 up pass in header values, targets and reason phrases.
//!
//! The tokenizer is our own, on `memchr`. The usual crate accepts bare LF and hands out slices without positions; what
//! it would have to be checked for afterwards is more than the whole of `fields.rs`.
//!
//! Read on in [`head.rs`](RequestHead), then `fields.rs`, `framing.rs`, `hop.rs` and [`body.rs`](Body).

mod body;
mod fields;
mod framing;
mod head;
mod hop;
mod syntax;

use thiserror::Error;

pub use body::{Body, BodyError, Step};
pub use fields::Fields;
pub use framing::Framing;
pub use head::{RequestHead, ResponseHead, TargetForm};

/// How much of a head, or of a trailer section, is read before it is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes from the first of the start line to the last of the empty line.
    pub head_bytes: usize,
    /// Header lines; also how many options `Connection` may list.
    pub fields: usize,
}

impl Default for Limits {
    /// 64 KiB and 200 lines: what proxies in front of us let through with room to spare (nginx 32 KiB, Envoy 60 KiB
    /// and 100 lines), small enough that a thousand such heads are 64 MiB.
    fn default() -> Self {
        Limits { head_bytes: 64 << 10, fields: 200 }
    }
}

/// Why a head cannot be taken. The connection it came on cannot be read any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HeadError {
    /// The head does not end within [`Limits::head_bytes`]. 431, or 502 for a response.
    #[error("the head is larger than the limit")]
    TooLarge,
    /// More lines than [`Limits::fields`]. 431, or 502 for a response.
    #[error("the head has more header lines than the limit")]
    TooManyFields,
    /// Not HTTP/1, or not unambiguous. 400, or 502 for a response. The text is a short constant in lower case with
    /// underscores, fit for `x-raceway-error` and for a counter's label.
    #[error("the head is malformed: {0}")]
    Bad(&'static str),
}

impl HeadError {
    /// A short constant in lower case with underscores, for `x-raceway-error` and counters.
    pub fn reason(self) -> &'static str {
        match self {
            HeadError::TooLarge => "head_too_large",
            HeadError::TooManyFields => "too_many_fields",
            HeadError::Bad(reason) => reason,
        }
    }
}

/// The two versions this codec speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0: closes after each message unless `Connection: keep-alive`; no chunks, no upgrade.
    Http10,
    /// HTTP/1.1.
    #[default]
    Http11,
}

#[cfg(test)]
mod tests;
