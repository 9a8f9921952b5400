//! What a receiver answers, brought down to what the sender does next.
//!
//! The rules are those of the OTLP specification: which codes may be tried again, that `RESOURCE_EXHAUSTED` may only
//! with a `RetryInfo`, and that a partial success is never sent again.

use std::borrow::Cow;
use std::time::Duration;

use http::{HeaderMap, StatusCode};

use super::wire::{Content, Fields};

/// What to do with a request that was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Taken in, but for so many items; the text may say why, or warn of something.
    Accepted { rejected: u64, message: String },
    /// To be sent again, after the given time if the receiver named one; `doubtful` where what was sent may be the
    /// cause, so that trying for ever would help nobody.
    Later { after: Option<Duration>, why: String, doubtful: bool },
    /// The receiver does not know how it was compressed, or does not know the service at all.
    UnknownEncoding { why: String },
    /// Too large; a smaller one may pass.
    TooLarge { why: String },
    /// Never to be sent again.
    Refused { why: String },
}

/// An hour named by a receiver would outlast the fault it was named for: waits are cut to this.
const WAIT_MAX: Duration = Duration::from_secs(300);

/// Judges an answer to OTLP/gRPC: `trailers` are those of the answer, or its headers where it has nothing else.
pub(crate) fn grpc(status: StatusCode, headers: &HeaderMap, trailers: Option<&HeaderMap>, body: &[u8]) -> Verdict {
    let find = |name| trailers.and_then(|all| all.get(name)).or_else(|| headers.get(name));
    let code = match find("grpc-status").map(|value| value.to_str().ok().and_then(|text| text.parse().ok())) {
        Some(Some(code)) => code,
        Some(None) => code::UNKNOWN,
        // Not a gRPC server, or something in front of it: the mapping that gRPC lays down.
        None => match status.as_u16() {
            200 => return Verdict::Refused { why: "the answer is not gRPC; is this the OTLP/gRPC port?".into() },
            400 => code::INTERNAL,
            401 => code::UNAUTHENTICATED,
            403 => code::PERMISSION_DENIED,
            404 => code::UNIMPLEMENTED,
            429 | 502..=504 => code::UNAVAILABLE,
            _ => code::UNKNOWN,
        },
    };
    if code == code::OK {
        let (flag_and_len, message) = body.split_at_checked(5).unwrap_or_default();
        // A compressed answer was never asked for.
        let plain = flag_and_len.first().is_none_or(|&flag| flag == 0);
        return accepted(if plain { message } else { &[] });
    }
    let text = find("grpc-message").map(|value| percent_decoded(value.as_bytes())).unwrap_or_default();
    let why = match (code::name(code), text.as_str()) {
        (name, "") if headers.contains_key("grpc-status") || trailers.is_some() => name.into_owned(),
        // What the analyzer's page, and many a web server, says to a POST that it does not know.
        (name, "") if matches!(status.as_u16(), 404 | 405) => {
            let status = status.as_u16();
            format!("{name} (HTTP status {status} without gRPC): this looks like a page's port; spans go to 4317")
        }
        (name, "") => format!("{name} (HTTP status {} without gRPC); is this the OTLP/gRPC port?", status.as_u16()),
        (name, text) => format!("{name}: {text}"),
    };
    let wait = find("grpc-status-details-bin").and_then(|value| retry_delay(&base64_decoded(value.as_bytes())?));
    match code {
        code::UNAVAILABLE | code::DEADLINE_EXCEEDED => Verdict::Later { after: wait, why, doubtful: false },
        code::CANCELLED | code::ABORTED | code::DATA_LOSS => {
            Verdict::Later { after: wait, why, doubtful: wait.is_none() }
        }
        code::RESOURCE_EXHAUSTED | code::OUT_OF_RANGE => match wait {
            Some(_) => Verdict::Later { after: wait, why, doubtful: false },
            // Without a time to wait these two are what gRPC libraries say of a message over their limit.
            None => Verdict::TooLarge { why },
        },
        code::UNIMPLEMENTED => Verdict::UnknownEncoding { why },
        _ => Verdict::Refused { why },
    }
}

/// Judges an answer to OTLP/HTTP.
pub(crate) fn http(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Verdict {
    if status.is_success() {
        return accepted(body);
    }
    let text = status_message(body);
    let why = if text.is_empty() { format!("HTTP status {status}") } else { format!("HTTP status {status}: {text}") };
    match status.as_u16() {
        429 | 502..=504 => Verdict::Later { after: retry_after(headers), why, doubtful: false },
        // 400 is how some receivers say that they do not know a content encoding.
        400 | 415 => Verdict::UnknownEncoding { why },
        413 => Verdict::TooLarge { why },
        404 => Verdict::Refused { why: format!("{why}; is this the OTLP/HTTP port?") },
        _ => Verdict::Refused { why },
    }
}

/// `ExportTraceServiceResponse` and its twin for metrics: `partial_success { rejected = 1, error_message = 2 }`.
fn accepted(message: &[u8]) -> Verdict {
    let (mut rejected, mut text) = (0, String::new());
    for field in Fields(message) {
        let (1, Content::Bytes(partial_success)) = field else { continue };
        for field in Fields(partial_success) {
            match field {
                // Signed on the wire; a negative count rejects nothing.
                (1, Content::Number(count)) => rejected = u64::try_from(count as i64).unwrap_or(0),
                (2, Content::Bytes(bytes)) => text = shown(bytes),
                _ => {}
            }
        }
    }
    Verdict::Accepted { rejected, message: text }
}

/// The delay of the `google.rpc.RetryInfo` among a `google.rpc.Status`' details.
fn retry_delay(status: &[u8]) -> Option<Duration> {
    let (mut info, mut is_retry_info) = (None, false);
    for detail in Fields(status) {
        let (3, Content::Bytes(any)) = detail else { continue };
        let mut value = &[][..];
        for field in Fields(any) {
            match field {
                (1, Content::Bytes(url)) => is_retry_info = url.ends_with(b"google.rpc.RetryInfo"),
                (2, Content::Bytes(bytes)) => value = bytes,
                _ => {}
            }
        }
        if is_retry_info {
            info = Some(value);
            break;
        }
    }
    let (mut seconds, mut nanos) = (0, 0);
    for field in Fields(info?) {
        let (1, Content::Bytes(duration)) = field else { continue };
        for field in Fields(duration) {
            match field {
                (1, Content::Number(value)) => seconds = i64::max(value as i64, 0).unsigned_abs(),
                (2, Content::Number(value)) => nanos = u32::try_from(value).unwrap_or(0).min(999_999_999),
                _ => {}
            }
        }
    }
    Some(Duration::new(seconds, nanos).min(WAIT_MAX))
}

/// `Retry-After` in seconds. Its other form, a date, would need the receiver's clock to agree with ours.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(WAIT_MAX))
}

/// The text of a `google.rpc.Status`, or the body itself where it is short text.
fn status_message(body: &[u8]) -> String {
    let message = Fields(body).find_map(|field| match field {
        (2, Content::Bytes(text)) => Some(text),
        _ => None,
    });
    match message {
        Some(text) => shown(text),
        None if body.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\n' | b'\r')) => shown(body),
        None => String::new(),
    }
}

/// Text of a stranger, fit for a log line: without control characters and of bounded length.
fn shown(text: &[u8]) -> String {
    const CHARS_MAX: usize = 200;
    let text = String::from_utf8_lossy(text);
    text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(CHARS_MAX).collect()
}

/// gRPC's `%XX` in messages; what is no escape stays as it is.
fn percent_decoded(text: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        let escape = after.split_first_chunk::<2>().filter(|_| first == b'%').and_then(|(digits, after)| {
            let digits = std::str::from_utf8(digits).ok()?;
            Some((u8::from_str_radix(digits, 16).ok()?, after))
        });
        let (byte, after) = escape.unwrap_or((first, after));
        bytes.push(byte);
        rest = after;
    }
    shown(&bytes)
}

/// Standard base64 with or without padding, as metadata named `-bin` travels.
fn base64_decoded(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len() / 4 * 3 + 2);
    let (mut group, mut bits) = (0u32, 0);
    for byte in text.iter().take_while(|&&byte| byte != b'=') {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        group = group << 6 | u32::from(digit);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            decoded.push((group >> bits) as u8);
        }
    }
    Some(decoded)
}

/// gRPC's status codes.
mod code {
    use super::Cow;

    pub(super) const OK: u16 = 0;
    pub(super) const CANCELLED: u16 = 1;
    pub(super) const UNKNOWN: u16 = 2;
    pub(super) const DEADLINE_EXCEEDED: u16 = 4;
    pub(super) const PERMISSION_DENIED: u16 = 7;
    pub(super) const RESOURCE_EXHAUSTED: u16 = 8;
    pub(super) const ABORTED: u16 = 10;
    pub(super) const OUT_OF_RANGE: u16 = 11;
    pub(super) const UNIMPLEMENTED: u16 = 12;
    pub(super) const INTERNAL: u16 = 13;
    pub(super) const UNAVAILABLE: u16 = 14;
    pub(super) const DATA_LOSS: u16 = 15;
    pub(super) const UNAUTHENTICATED: u16 = 16;

    const NAMES: [&str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];

    pub(super) fn name(code: u16) -> Cow<'static, str> {
        match NAMES.get(usize::from(code)) {
            Some(name) => Cow::Borrowed(name),
            None => Cow::Owned(format!("gRPC status {code}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;
    use crate::otlp::wire;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_str(value).unwrap())).collect()
    }

    /// `Status { code: 8, message: "busy", details: [RetryInfo { 2.5 s }] }`.
    const RETRY_2500_MS: &str =
        "CAgSBGJ1c3kaNgoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLlJldHJ5SW5mbxIKCggIAhCAyrXuAQ==";

    #[test]
    fn grpc_codes_as_the_specification_sorts_them() {
        let judge = |pairs: &[(&'static str, &str)]| grpc(StatusCode::OK, &headers(&[]), Some(&headers(pairs)), b"");
        for code in ["1", "4", "10", "14", "15"] {
            assert!(matches!(judge(&[("grpc-status", code)]), Verdict::Later { after: None, .. }), "{code}");
        }
        for code in ["2", "3", "5", "6", "7", "9", "13", "16", "17", "x"] {
            assert!(matches!(judge(&[("grpc-status", code)]), Verdict::Refused { .. }), "{code}");
        }
        for code in ["8", "11"] {
            assert!(matches!(judge(&[("grpc-status", code)]), Verdict::TooLarge { .. }), "{code}");
        }
        assert_eq!(
            judge(&[("grpc-status", "12"), ("grpc-message", "no%20zstd%")]),
            Verdict::UnknownEncoding { why: "UNIMPLEMENTED: no zstd%".into() }
        );
    }

    #[test]
    fn what_answers_without_grpc_status() {
        let judge = |status: u16| grpc(StatusCode::from_u16(status).unwrap(), &headers(&[]), None, b"");
        for (status, expected) in [
            (200, "not gRPC"),
            (404, "UNIMPLEMENTED"),
            (405, "looks like a page's port; spans go to 4317"),
            (503, "UNAVAILABLE"),
            (500, "UNKNOWN"),
        ] {
            assert!(format!("{:?}", judge(status)).contains(expected), "{status}");
        }
        assert!(matches!(judge(503), Verdict::Later { .. }));
    }

    #[test]
    fn waits_are_read_and_cut() {
        let exhausted = |details: &str| {
            let headers = headers(&[("grpc-status", "8"), ("grpc-status-details-bin", details)]);
            match grpc(StatusCode::OK, &headers, None, b"") {
                Verdict::Later { after, .. } => after,
                Verdict::TooLarge { .. } => None,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(exhausted(RETRY_2500_MS), Some(Duration::from_millis(2500)));
        assert_eq!(exhausted(RETRY_2500_MS.trim_end_matches('=')), Some(Duration::from_millis(2500)));
        assert_eq!(exhausted("!"), None);
        assert_eq!(exhausted(""), None);
        for (text, expected) in [
            ("7", Some(Duration::from_secs(7))),
            (" 0 ", Some(Duration::ZERO)),
            ("99999999", Some(WAIT_MAX)),
            ("-1", None),
            ("Wed, 21 Oct 2015 07:28:00 GMT", None),
        ] {
            let verdict = http(StatusCode::TOO_MANY_REQUESTS, &headers(&[("retry-after", text)]), b"");
            let why = "HTTP status 429 Too Many Requests".into();
            assert_eq!(verdict, Verdict::Later { after: expected, why, doubtful: false });
        }
    }

    #[test]
    fn http_statuses_as_the_specification_sorts_them() {
        let judge = |status: u16| http(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), b"out of order");
        for status in [429, 502, 503, 504] {
            assert!(matches!(judge(status), Verdict::Later { .. }), "{status}");
        }
        for status in [401, 403, 404, 500, 501] {
            assert!(matches!(judge(status), Verdict::Refused { .. }), "{status}");
        }
        assert_eq!(judge(413), Verdict::TooLarge { why: "HTTP status 413 Payload Too Large: out of order".into() });
        assert!(matches!(judge(415), Verdict::UnknownEncoding { .. }));
    }

    #[test]
    fn partial_success_counts_and_warns() {
        let mut body = vec![0, 0, 0, 0, 0];
        wire::message(&mut body, 1, 1, |out| {
            wire::number(out, 1, 300);
            wire::string(out, 2, "too\nold");
        });
        let expected = Verdict::Accepted { rejected: 300, message: "too old".into() };
        assert_eq!(grpc(StatusCode::OK, &HeaderMap::new(), Some(&headers(&[("grpc-status", "0")])), &body), expected);
        assert_eq!(http(StatusCode::OK, &HeaderMap::new(), &body[5..]), expected);
        let all = Verdict::Accepted { rejected: 0, message: String::new() };
        assert_eq!(http(StatusCode::OK, &HeaderMap::new(), b""), all);
        assert_eq!(
            http(StatusCode::OK, &HeaderMap::new(), &[0x0a, 0x0b, 8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1]),
            all
        );
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(
            status in 100u16..600, code in "[0-9]{0,3}", details in "[A-Za-z0-9+/=]{0,80}", body: Vec<u8>, raw: Vec<u8>,
        ) {
            let status = StatusCode::from_u16(status).unwrap();
            let all = headers(&[("grpc-status", &code), ("grpc-status-details-bin", &details), ("retry-after", &code)]);
            grpc(status, &all, None, &body);
            http(status, &all, &body);
            retry_delay(&raw);
            percent_decoded(&raw);
        }
    }
}
