//! A caller's HTTP/2 connection, watched for the streams that the library refuses: it resets a stream whose headers or
//! framing are malformed, and tells nobody. What it writes tells.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};

use h2::Reason;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::conn::Conn;

/// What the library says to a caller who is at fault, as a reason for counters. The other codes it uses (`CANCEL`,
/// `NO_ERROR`) come with the end of a stream that we are done with.
fn fault(code: u32) -> Option<&'static str> {
    match code.into() {
        Reason::PROTOCOL_ERROR => Some("h2_stream_protocol_error"),
        Reason::FLOW_CONTROL_ERROR => Some("h2_stream_flow_control_error"),
        Reason::STREAM_CLOSED => Some("h2_stream_closed"),
        Reason::FRAME_SIZE_ERROR => Some("h2_stream_frame_size_error"),
        Reason::REFUSED_STREAM => Some("h2_too_many_streams"),
        _ => None,
    }
}

/// Resets that are ours and not yet written: streams end with the codes that the other side ended them with, and
/// those may be the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct OwnResets(Arc<AtomicU32>);

impl OwnResets {
    /// A stream is about to be reset with this code.
    pub(crate) fn note(&self, code: Reason) {
        if fault(code.into()).is_some() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn take(&self) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| count.checked_sub(1)).is_ok()
    }
}

/// The connection, for the library to read and write.
pub(crate) struct Watched {
    conn: Conn,
    frames: Frames,
    own: OwnResets,
    refused: Box<dyn Fn(&'static str) + Send>,
}

impl Watched {
    /// `refused` is called with the reason for each stream that the library refuses.
    pub(crate) fn new(conn: Conn, own: OwnResets, refused: impl Fn(&'static str) + Send + 'static) -> Self {
        Self { conn, frames: Frames::default(), own, refused: Box::new(refused) }
    }

    fn wrote(&mut self, bytes: &[u8]) {
        self.frames.pass(bytes, |code| {
            if let Some(reason) = fault(code)
                && !self.own.take()
            {
                (self.refused)(reason);
            }
        });
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.conn).poll_read(cx, into)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.conn).poll_write(cx, bytes);
        if let Poll::Ready(Ok(count)) = written {
            self.wrote(bytes.get(..count).unwrap_or(bytes));
        }
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.conn).poll_write_vectored(cx, slices);
        if let Poll::Ready(Ok(mut left)) = written {
            for slice in slices {
                let count = left.min(slice.len());
                self.wrote(slice.get(..count).unwrap_or(slice));
                left -= count;
            }
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.conn.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.conn).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.conn).poll_shutdown(cx)
    }
}

/// Bytes of a frame's head: length (24 bits), type, flags, stream (RFC 9113, section 4.1).
const HEAD_BYTES: usize = 9;
/// RST_STREAM's payload is its code (section 6.4).
const RESET_BYTES: usize = 4;
const RST_STREAM: u8 = 3;

/// Where in the sequence of frames a stream of bytes is: payloads are passed over, whatever their size.
#[derive(Debug, Default)]
struct Frames {
    /// A frame's head, and behind it RST_STREAM's payload.
    head: [u8; HEAD_BYTES + RESET_BYTES],
    have: usize,
    /// Bytes of payload to come that nobody looks at.
    skip: usize,
}

impl Frames {
    /// Goes on by these bytes, and says the code of each RST_STREAM frame that ends in them.
    fn pass(&mut self, mut bytes: &[u8], mut reset: impl FnMut(u32)) {
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            let wanted = if self.have < HEAD_BYTES { HEAD_BYTES } else { HEAD_BYTES + RESET_BYTES };
            let count = (wanted - self.have).min(bytes.len());
            let (Some(room), Some((new, rest))) =
                (self.head.get_mut(self.have..self.have + count), bytes.split_at_checked(count))
            else {
                return;
            };
            room.copy_from_slice(new);
            self.have += count;
            bytes = rest;
            let [a, b, c, kind, _, _, _, _, _, code @ ..] = self.head;
            let length = u32::from_be_bytes([0, a, b, c]) as usize;
            match self.have {
                HEAD_BYTES if kind == RST_STREAM && length == RESET_BYTES => {}
                HEAD_BYTES => (self.skip, self.have) = (length, 0),
                have if have > HEAD_BYTES && have == wanted => {
                    reset(u32::from_be_bytes(code));
                    self.have = 0;
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).expect("small").to_be_bytes();
        [&length[1..], &[kind, 0, 0, 0, 0, 1], payload].concat()
    }

    /// However the bytes are cut, the same codes come out.
    #[test]
    fn resets_are_found_among_frames() {
        // A payload that looks like a reset, empty payloads, and a reset of a wrong size.
        let bytes = [
            frame(4, &[]),
            frame(RST_STREAM, &[0, 0, 0, 1]),
            frame(0, &frame(RST_STREAM, &[0, 0, 0, 9])),
            frame(RST_STREAM, &[0, 0, 0]),
            frame(RST_STREAM, &[0, 0, 1, 7]),
            frame(1, &[3; 300]),
            frame(RST_STREAM, &[0, 0, 0, 8]),
        ]
        .concat();
        for size in 1..=bytes.len() {
            let (mut frames, mut codes) = (Frames::default(), Vec::new());
            bytes.chunks(size).for_each(|chunk| frames.pass(chunk, |code| codes.push(code)));
            assert_eq!(codes, [1, 0x107, 8], "in pieces of {size}");
        }
    }

    #[test]
    fn our_own_resets_are_not_the_librarys() {
        let own = OwnResets::default();
        own.note(Reason::CANCEL);
        assert!(!own.take(), "a code that is nobody's fault need not be told apart");
        own.note(Reason::PROTOCOL_ERROR);
        assert!(own.take() && !own.take());
    }
}
