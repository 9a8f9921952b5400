//! Moving the body of an HTTP/1 message from one connection to the other, without looking into it.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::Buf;

use crate::conn::Conn;
use crate::http1::{Body, BodyError, Framing, Step};

/// Up to here pieces are gathered, so that a head and a small body leave in one packet; larger ones are not copied.
const GATHER_BYTES: usize = 16 * 1024;

/// A body on its way. Can be dropped and polled again at any point: its state is here and in the connections.
pub(crate) struct Pump {
    body: Body,
    /// Bytes at the front of the input that go on as they are.
    forward: usize,
    ended: bool,
}

/// Which side ended a body too early.
#[derive(Debug)]
pub(crate) enum PumpError {
    /// The sender failed.
    Read(io::Error),
    /// The sender broke off, or its framing is broken.
    Broken(BodyError),
    /// The receiver failed.
    Write(io::Error),
}

impl Pump {
    pub(crate) fn new(framing: Framing) -> Self {
        Self { body: Body::new(framing), forward: 0, ended: matches!(framing, Framing::None) }
    }

    /// Bytes of content that have passed, without chunk framing.
    pub(crate) fn payload(&self) -> u64 {
        self.body.payload()
    }

    /// Whether the whole body has been taken from its sender.
    pub(crate) fn is_ended(&self) -> bool {
        self.ended
    }

    /// Ready once the body has ended and all of it is written. Backpressure goes through: nothing more is read
    /// while the receiver does not take what is there.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, from: &mut Conn, to: &mut Conn) -> Poll<Result<(), PumpError>> {
        loop {
            if self.ended {
                return to.poll_flush(cx).map_err(PumpError::Write);
            }
            if self.forward > 0 {
                ready!(self.poll_forward(cx, from, to)).map_err(PumpError::Write)?;
                continue;
            }
            match self.body.step(&from.input).map_err(PumpError::Broken)? {
                Step::Forward(count) => self.forward = count,
                Step::Skip(count) => from.input.advance(count),
                Step::End => self.ended = true,
                Step::More => {
                    ready!(to.poll_flush(cx)).map_err(PumpError::Write)?;
                    if ready!(from.poll_fill(cx)).map_err(PumpError::Read)? == 0 {
                        self.body.eof().map_err(PumpError::Broken)?;
                        self.ended = true;
                    }
                }
            }
        }
    }

    fn poll_forward(&mut self, cx: &mut Context<'_>, from: &mut Conn, to: &mut Conn) -> Poll<io::Result<()>> {
        let Some(bytes) = from.input.get(..self.forward) else {
            self.forward = from.input.len();
            return Poll::Ready(Ok(()));
        };
        let count = if to.output.len() + bytes.len() <= GATHER_BYTES {
            to.outgoing().extend_from_slice(bytes);
            bytes.len()
        } else {
            ready!(to.poll_flush(cx))?;
            ready!(to.poll_write(cx, Some(bytes)))?
        };
        from.input.advance(count);
        self.forward -= count;
        Poll::Ready(Ok(()))
    }
}
