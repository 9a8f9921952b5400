//! The name a client asks for in a TLS ClientHello (RFC 8446, section 4.1.2; RFC 6066, section 3).
//!
//! ```text
//! 22 3 1 len:2            record: handshake, any 3.x version; a hello may be spread over several
//!   1 len:3               ClientHello
//!     version:2 random:32 session:1+n suites:2+n compression:1+n extensions:2+n
//!       0 0 len:2 list:2+n    server_name
//!         0 len:2 name        host_name
//! ```

use std::future::Future;
use std::task::Poll;
use std::time::Duration;

use crate::conn::Conn;

/// How long the rest of a hello that has begun is waited for: it comes in one piece, or right after the first.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// No client says hello in more: post-quantum keys take some 2 KiB, tickets a little more.
const HELLO_BYTES_MAX: usize = 16 * 1024;

/// What the first bytes of a connection are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hello {
    /// The beginning of a ClientHello; more has to come before it can be read.
    Begun,
    /// A whole ClientHello, with the name it asks for.
    Whole(Option<String>),
    /// Something else.
    Other,
}

/// Reads the name from what the caller says first. Where a hello has begun and is not whole, the rest is waited for, but
/// not if the other side has something to say meanwhile: then it was none.
pub(crate) async fn wait(down: &mut Conn, up: &mut Conn) -> Hello {
    let mut late = None;
    std::future::poll_fn(|cx| {
        loop {
            let hello = read(&down.input);
            if hello != Hello::Begun || down.input.len() > HELLO_BYTES_MAX || down.input.is_empty() {
                return Poll::Ready(hello);
            }
            match down.poll_fill(cx) {
                Poll::Ready(Ok(1..)) => continue,
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(hello),
                Poll::Pending => {}
            }
            let late = late.get_or_insert_with(|| Box::pin(tokio::time::sleep(WAIT_MAX)));
            if up.poll_fill(cx).is_ready() || late.as_mut().poll(cx).is_ready() {
                return Poll::Ready(hello);
            }
            return Poll::Pending;
        }
    })
    .await
}

/// Reads the name from the first bytes of a connection.
pub fn read(bytes: &[u8]) -> Hello {
    match handshake(bytes) {
        Some(Ok(hello)) => server_name(&hello).map_or(Hello::Other, Hello::Whole),
        Some(Err(Broken)) => Hello::Other,
        None => Hello::Begun,
    }
}

struct Broken;

/// The ClientHello's message, put together from its records; `None` until all of it is there.
fn handshake(mut bytes: &[u8]) -> Option<Result<Vec<u8>, Broken>> {
    let mut message = Vec::new();
    loop {
        // Told as soon as they are wrong, so that nobody waits for what never comes.
        match bytes {
            [] | [22] | [22, 3] => return None,
            [22, 3, ..] => {}
            _ => return Some(Err(Broken)),
        }
        let (&[_, _, _, high, low], rest) = bytes.split_first_chunk()?;
        let len = usize::from(u16::from_be_bytes([high, low]));
        if len == 0 || len > HELLO_BYTES_MAX {
            return Some(Err(Broken));
        }
        let part = rest.get(..len).unwrap_or(rest);
        message.extend_from_slice(part);
        if message.first().is_some_and(|&kind| kind != 1) {
            return Some(Err(Broken));
        }
        if let Some((&[_, high, middle, low], body)) = message.split_first_chunk() {
            let whole = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
            if whole > HELLO_BYTES_MAX {
                return Some(Err(Broken));
            }
            if let Some(body) = body.get(..whole) {
                return Some(Ok(body.to_vec()));
            }
        }
        bytes = rest.get(len..)?;
    }
}

/// The outer `None` is for a message that is not a ClientHello after all.
fn server_name(hello: &[u8]) -> Option<Option<String>> {
    let (_version_and_random, rest) = hello.split_at_checked(34)?;
    let (_session, rest) = prefixed_8(rest)?;
    let (_suites, rest) = prefixed_16(rest)?;
    let (_compression, rest) = prefixed_8(rest)?;
    if rest.is_empty() {
        return Some(None);
    }
    let (mut extensions, _) = prefixed_16(rest)?;
    while let Some((&[high, low], rest)) = extensions.split_first_chunk() {
        let (content, rest) = prefixed_16(rest)?;
        if (high, low) == (0, 0) {
            let (names, _) = prefixed_16(content)?;
            let (&[kind], name) = names.split_first_chunk()?;
            let (name, _) = prefixed_16(name)?;
            let name = str::from_utf8(name).ok().filter(|name| kind == 0 && is_host(name))?;
            return Some(Some(name.to_ascii_lowercase()));
        }
        extensions = rest;
    }
    Some(None)
}

/// 253: the longest name that DNS can carry.
fn is_host(name: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    !name.is_empty() && name.len() <= 253 && name.bytes().all(known)
}

/// What a length of one byte in front says, and what comes behind.
fn prefixed_8(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&[len], rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::from(len))
}

/// The same with a length of two bytes.
fn prefixed_16(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&len, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(len)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &sized(content)].concat()
    }

    fn sized(content: &[u8]) -> Vec<u8> {
        [&(content.len() as u16).to_be_bytes()[..], content].concat()
    }

    fn name(name: &[u8]) -> Vec<u8> {
        extension(0, &sized(&[&[0][..], &sized(name)].concat()))
    }

    fn hello(extensions: &[u8]) -> Vec<u8> {
        let body = [&[3, 3][..], &[7; 32], &[0], &sized(&[0x13, 1]), &[1, 0], &sized(extensions)].concat();
        [&[1, 0], &sized(&body)[..]].concat()
    }

    /// In records of so many bytes.
    fn records(message: &[u8], len: usize) -> Vec<u8> {
        message.chunks(len).flat_map(|part| [&[22, 3, 1][..], &sized(part)].concat()).collect()
    }

    #[test]
    fn the_name_is_found_wherever_it_stands() {
        let grease = extension(0x0a0a, &[]);
        let versions = extension(43, &[2, 3, 4]);
        for (extensions, expected) in [
            (name(b"payment.example"), Some("payment.example")),
            ([grease.clone(), versions.clone(), name(b"Payment")].concat(), Some("payment")),
            ([name(b"payment"), versions.clone()].concat(), Some("payment")),
            ([grease, versions].concat(), None),
            (Vec::new(), None),
        ] {
            for len in [1, 3, 7, 4096] {
                let bytes = records(&hello(&extensions), len);
                let expected = Hello::Whole(expected.map(str::to_owned));
                assert_eq!(read(&bytes), expected, "{len}");
                assert_eq!(read(&[&bytes[..], b"more"].concat()), expected, "{len}");
                for end in 0..bytes.len() {
                    assert_eq!(read(&bytes[..end]), Hello::Begun, "{end} of {}", bytes.len());
                }
            }
        }
    }

    #[test]
    fn one_flaw_each() {
        let good = records(&hello(&name(b"payment")), 4096);
        let at = |place: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[place] = byte;
            bytes
        };
        for (flaw, bytes) in [
            ("not a handshake", at(0, 23)),
            ("no version of TLS", at(1, 2)),
            ("an empty record", [&[22, 3, 1, 0, 0][..], &good].concat()),
            ("a record that is too long", at(3, 0x41)),
            ("a ServerHello", at(5, 2)),
            ("a message that is too long", at(6, 1)),
            ("a session that runs over the end", at(43, 255)),
            ("no host name", records(&hello(&extension(0, &sized(&[1, 0, 1, b'x']))), 4096)),
            ("a name that is none", records(&hello(&name(b"pay ment\0")), 4096)),
            ("an empty name", records(&hello(&name(b"")), 4096)),
            ("a name that is too long", records(&hello(&name(&[b'a'; 254])), 4096)),
        ] {
            assert_eq!(read(&bytes), Hello::Other, "{flaw}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_comes_makes_it_panic_or_wait_for_ever(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            read(&bytes);
            let begun = [&[22, 3, 1, 2, 0, 1, 0, 1, 250][..], &bytes].concat();
            if read(&begun) == Hello::Begun {
                prop_assert!(begun.len() < 2 * HELLO_BYTES_MAX);
            }
        }
    }
}
