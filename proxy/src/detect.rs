//! What is spoken on a connection: decided by whoever speaks first, with no time limit.
//!
//! Pools open connections long before they use them, and some servers greet (SMTP, MySQL), so neither side can be
//! waited for alone.

use std::future::Future;
use std::task::{Poll, ready};
use std::time::Duration;

use crate::conn::Conn;

/// What a connection carries.
#[derive(Debug, PartialEq)]
pub(crate) enum Protocol {
    /// A request line: from here on every flaw is an error, never a tunnel.
    Http1,
    /// The HTTP/2 preface.
    Http2,
    /// Anything else: bytes.
    Other,
    /// One side left before anything was said.
    Nothing,
}

/// RFC 9113, section 3.4.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long a caller may stay silent where nobody is to be reached. It may wait for a greeting that will never come, and
/// without us would have been refused at once; one that speaks sooner is told by an answer.
const GREETING_AWAITED: Duration = Duration::from_secs(5);

/// Waits until the first bytes tell. What was read stays in the connections' inputs. A first line that has begun and
/// is not whole after `patience` is taken for HTTP, which then has its own word for it.
/// Where `nobody_there` is set, the other side cannot be reached, and a caller that waits for its greeting is let go.
pub(crate) async fn protocol(
    down: &mut Conn,
    mut up: Option<&mut Conn>,
    nobody_there: bool,
    (line_bytes_max, patience): (usize, Duration),
) -> Protocol {
    let (mut slow, mut absent) = (None, None);
    std::future::poll_fn(|cx| {
        loop {
            if let Some(protocol) = first_line(&down.input, line_bytes_max) {
                return Poll::Ready(protocol);
            }
            match down.poll_fill(cx) {
                Poll::Ready(Ok(0)) if down.input.is_empty() => return Poll::Ready(Protocol::Nothing),
                Poll::Ready(Ok(0)) => return Poll::Ready(Protocol::Other),
                Poll::Ready(Ok(_)) => continue,
                Poll::Ready(Err(_)) => {
                    if let Some(up) = &mut up {
                        up.reset();
                    }
                    return Poll::Ready(Protocol::Nothing);
                }
                Poll::Pending => {}
            }
            if nobody_there && down.input.is_empty() {
                let absent = absent.get_or_insert_with(|| Box::pin(tokio::time::sleep(GREETING_AWAITED)));
                ready!(absent.as_mut().poll(cx));
                down.reset();
                return Poll::Ready(Protocol::Nothing);
            }
            if !down.input.is_empty() {
                let slow = slow.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
                if slow.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Protocol::Http1);
                }
            }
            let Some(up) = &mut up else { return Poll::Pending };
            // Heard now, or while it was waited for the caller to begin TLS, or not to.
            if !up.input.is_empty() && !is_settings(&up.input) {
                return Poll::Ready(Protocol::Other);
            }
            return match up.poll_fill(cx) {
                // Where requests go has closed or broken before anybody spoke.
                Poll::Ready(Ok(0)) if down.input.is_empty() => Poll::Ready(Protocol::Nothing),
                Poll::Ready(Err(_)) if down.input.is_empty() => {
                    down.reset();
                    Poll::Ready(Protocol::Nothing)
                }
                Poll::Ready(Ok(0) | Err(_)) => Poll::Pending,
                Poll::Ready(Ok(_)) => continue,
                Poll::Pending => Poll::Pending,
            };
        }
    })
    .await
}

/// What the caller's first bytes say, as soon as they say it.
fn first_line(bytes: &[u8], line_bytes_max: usize) -> Option<Protocol> {
    if bytes.is_empty() {
        return None;
    }
    if bytes.starts_with(PREFACE) {
        return Some(Protocol::Http2);
    }
    if PREFACE.starts_with(bytes) {
        return None;
    }
    // A client may begin with an empty line (RFC 9112, section 2.2).
    let bytes = bytes.strip_prefix(b"\r\n").or(bytes.strip_prefix(b"\n")).unwrap_or(bytes);
    let method = bytes.iter().position(|&byte| !is_token(byte)).unwrap_or(bytes.len());
    match bytes.get(method) {
        None if bytes.len() <= METHOD_BYTES_MAX => return None,
        Some(b' ') if method > 0 => {}
        _ => return Some(Protocol::Other),
    }
    let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else {
        return (bytes.len() > line_bytes_max).then_some(Protocol::Http1);
    };
    let line = bytes.get(..end).unwrap_or_default().trim_ascii_end();
    let version = line.rsplit(|&byte| byte == b' ').next().unwrap_or_default();
    Some(if version.starts_with(b"HTTP/") { Protocol::Http1 } else { Protocol::Other })
}

/// Whether a server that speaks first speaks HTTP/2, and nothing yet but its SETTINGS (RFC 9113, section 3.4): gRPC's do not
/// wait for the caller's preface, which tells then.
fn is_settings(bytes: &[u8]) -> bool {
    // Nine bytes of frame header: three of length, the type, no flags, stream 0. What follows it is small, too.
    bytes.get(3..9) == Some(&[4, 0, 0, 0, 0, 0]) && bytes.len() <= SETTINGS_BYTES_MAX
}

/// Far more than a server says before it has heard anything, and little enough to hold for an idle connection.
const SETTINGS_BYTES_MAX: usize = 1024;

/// No method in use is longer than half of this; a longer first word is something else.
const METHOD_BYTES_MAX: usize = 32;

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_tell() {
        let table: [(&[u8], Option<Protocol>); 14] = [
            (b"", None),
            (b"GET / HTTP/1.1\r\n", Some(Protocol::Http1)),
            (b"GET / HTTP/1.1\n", Some(Protocol::Http1)),
            (b"\r\nGET / HTTP/1.0\r\n", Some(Protocol::Http1)),
            (b"GET  a b HTTP/9.9\r\n", Some(Protocol::Http1)),
            (b"GET /", None),
            (b"GET / FTP/1.1\r\n", Some(Protocol::Other)),
            (b"PRI * HTTP/2.0\r\n", None),
            (PREFACE, Some(Protocol::Http2)),
            (b"\x16\x03\x01", Some(Protocol::Other)),
            (b"*1\r\n$4\r\nPING\r\n", Some(Protocol::Other)),
            (b"\0\0\0\x08\x04\xd2\x16\x2f", Some(Protocol::Other)),
            (b" GET / HTTP/1.1\r\n", Some(Protocol::Other)),
            (&[b'A'; 40], Some(Protocol::Other)),
        ];
        for (bytes, expected) in table {
            assert_eq!(first_line(bytes, 100), expected, "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn a_server_that_begins_http_2_is_no_other() {
        let settings = [&[0, 0, 6, 4, 0, 0, 0, 0, 0][..], &[0, 3, 0, 0, 0, 100]].concat();
        assert!(is_settings(&settings));
        for other in [&b"220 welcome\r\n"[..], b"J\0\0\0\n8.0.36\0", &[0, 0, 6, 4, 1, 0, 0, 0, 0], &settings[..8]] {
            assert!(!is_settings(other), "{other:?}");
        }
        assert!(!is_settings(&[&settings[..], &[0; 2000]].concat()));
    }

    #[test]
    fn an_endless_request_line_is_a_request() {
        let line = [b"GET /".as_slice(), &[b'a'; 200]].concat();
        assert_eq!(first_line(&line, 100), Some(Protocol::Http1));
    }
}
