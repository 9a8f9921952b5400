//! Moving the body of an HTTP/1 message from one connection to the other, without looking into it.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::Buf;

use crate::conn::Conn;
use crate::http1::{Body, BodyError, Framing, Limits, Step};
use crate::splice::{Pipe, WORTH_BYTES};

/// Up to here pieces are gathered, so that a head and a small body leave in one packet; larger ones are not copied.
const GATHER_BYTES: usize = 16 * 1024;

/// A body on its way. Can be dropped and polled again at any point: its state is here and in the connections.
pub(crate) struct Pump {
    body: Body,
    /// Bytes at the front of the input that go on as they are.
    forward: usize,
    ended: bool,
    /// Holds what is between the two, while a large body goes its way within the kernel.
    pipe: Option<Pipe>,
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
        Self::within(framing, Limits::default())
    }

    /// With other bounds for the trailers than the usual ones.
    pub(crate) fn within(framing: Framing, limits: Limits) -> Self {
        let body = Body::with_limits(framing, limits);
        Self { body, forward: 0, ended: matches!(framing, Framing::None), pipe: None }
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
            if self.pipe.is_some() {
                ready!(self.poll_pipe(cx, from, to))?;
                continue;
            }
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
                    if !from.ended
                        && from.is_bulk()
                        && self.body.unseen() >= WORTH_BYTES
                        && from.plain().and(to.plain()).is_some()
                    {
                        self.pipe = Pipe::get();
                        if self.pipe.is_some() {
                            continue;
                        }
                    }
                    if ready!(from.poll_fill(cx)).map_err(PumpError::Read)? == 0 {
                        self.body.eof().map_err(PumpError::Broken)?;
                        self.ended = true;
                    }
                }
            }
        }
    }

    /// Moves a piece on through the pipe, and gives the pipe back where there is no more for it to do.
    fn poll_pipe(&mut self, cx: &mut Context<'_>, from: &mut Conn, to: &mut Conn) -> Poll<Result<(), PumpError>> {
        let (Some(pipe), Some(sender), Some(receiver)) = (&mut self.pipe, from.plain(), to.plain()) else {
            self.pipe = None;
            return Poll::Ready(Ok(()));
        };
        ready!(pipe.poll_give(cx, receiver)).map_err(PumpError::Write)?;
        let left = self.body.unseen();
        if left >= WORTH_BYTES && !from.ended {
            match pipe.poll_take(cx, sender, left) {
                Poll::Ready(Ok(0)) => from.ended = true,
                Poll::Ready(Ok(taken)) => {
                    self.body.pass(taken as u64);
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Unsupported => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(PumpError::Read(error))),
                // Whoever waits long must not hold descriptors meanwhile.
                Poll::Pending => {
                    self.pipe.take().into_iter().for_each(Pipe::give_back);
                    return Poll::Pending;
                }
            }
        }
        self.pipe.take().into_iter().for_each(Pipe::give_back);
        Poll::Ready(Ok(()))
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let there = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (there, listener.accept().await.unwrap().0)
    }

    /// What comes out of a pump into which `bytes` go, and what stays in front of the next message.
    async fn pumped(framing: Framing, bytes: Vec<u8>) -> (Vec<u8>, Vec<u8>, u64) {
        let (mut sender, from) = pair().await;
        let (to, mut receiver) = pair().await;
        let (mut from, mut to, mut pump) = (Conn::new(from), Conn::new(to), Pump::new(framing));
        let sending = tokio::spawn(async move {
            // In pieces that fall anywhere.
            for piece in bytes.chunks(777_777) {
                sender.write_all(piece).await.unwrap();
            }
        });
        let receiving = tokio::spawn(async move {
            let mut all = Vec::new();
            receiver.read_to_end(&mut all).await.unwrap();
            all
        });
        std::future::poll_fn(|cx| pump.poll(cx, &mut from, &mut to)).await.unwrap();
        sending.await.unwrap();
        let left = from.input.to_vec();
        drop((from, to));
        (receiving.await.unwrap(), left, pump.payload())
    }

    fn counted(count: usize) -> Vec<u8> {
        (0..count).map(|n| (n * 7 + n / 256) as u8).collect()
    }

    #[tokio::test]
    async fn large_bodies_arrive_as_they_were() {
        const MANY: usize = 9_000_001;
        let data = counted(MANY);
        let (out, left, payload) = pumped(Framing::UntilClose, data.clone()).await;
        assert!(out == data && left.is_empty());
        assert_eq!(payload, MANY as u64);

        let (out, left, payload) = pumped(Framing::Length(MANY as u64), [&data[..], b"NEXT"].concat()).await;
        assert!(out == data, "{} bytes of {MANY}", out.len());
        assert!(b"NEXT".starts_with(&left[..]), "{left:?}");
        assert_eq!(payload, MANY as u64);

        let chunked = [format!("{:x}\r\n", MANY).as_bytes(), &data, b"\r\n5\r\nhello\r\n0\r\n\r\n"].concat();
        let (out, left, payload) = pumped(Framing::Chunked, chunked.clone()).await;
        assert!(out == chunked && left.is_empty());
        assert_eq!(payload, MANY as u64 + 5);
    }

    #[tokio::test]
    async fn an_end_in_the_middle_is_noticed() {
        let (mut sender, from) = pair().await;
        let (to, mut receiver) = pair().await;
        let (mut from, mut to, mut pump) = (Conn::new(from), Conn::new(to), Pump::new(Framing::Length(9_000_000)));
        tokio::spawn(async move { sender.write_all(&counted(5_000_000)).await.unwrap() });
        let receiving = tokio::spawn(async move { receiver.read_to_end(&mut Vec::new()).await.unwrap() });
        let ended = std::future::poll_fn(|cx| pump.poll(cx, &mut from, &mut to)).await;
        assert!(matches!(ended, Err(PumpError::Broken(BodyError::Truncated))));
        drop(to);
        assert_eq!(receiving.await.unwrap(), 5_000_000);
    }
}
