//! Moving the body of an HTTP/2 message from one stream to the other, without looking into it.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream};

/// A body on its way from one stream to the other, trailers included.
pub(crate) struct Pump2 {
    from: RecvStream,
    pub(crate) to: SendStream<Bytes>,
    waiting: Bytes,
    pub(crate) payload: u64,
    ended: bool,
    trailers_max: usize,
}

/// Which side ended a body too early, and the code that the other side shall hear.
pub(crate) enum Pump2Error {
    Read(Reason),
    Write(Reason),
    /// More trailers came than are held.
    TooManyTrailers,
}

impl Pump2 {
    pub(crate) fn new(from: RecvStream, to: SendStream<Bytes>, ended: bool, trailers_max: usize) -> Self {
        Self { from, to, waiting: Bytes::new(), payload: 0, ended, trailers_max }
    }

    /// The receiver takes no more.
    fn refused(&mut self, cx: &mut Context<'_>) -> Pump2Error {
        match self.to.poll_reset(cx) {
            Poll::Ready(Ok(reason)) => Pump2Error::Write(reason),
            _ => Pump2Error::Write(Reason::CANCEL),
        }
    }

    /// Ready once the body's end is handed to the other stream.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Pump2Error>> {
        let said = |error: &h2::Error| error.reason().unwrap_or(Reason::CANCEL);
        let closed = |error: h2::Error| Pump2Error::Write(said(&error));
        loop {
            if self.ended {
                return Poll::Ready(Ok(()));
            }
            if !self.waiting.is_empty() {
                self.to.reserve_capacity(self.waiting.len());
                let room = match ready!(self.to.poll_capacity(cx)) {
                    Some(Ok(room)) => room.min(self.waiting.len()),
                    Some(Err(error)) => return Poll::Ready(Err(closed(error))),
                    None => return Poll::Ready(Err(self.refused(cx))),
                };
                let part = self.waiting.split_to(room);
                self.ended = self.waiting.is_empty() && self.from.is_end_stream();
                self.to.send_data(part, self.ended).map_err(closed)?;
                // The sender may send as much again only now: that is how backpressure goes through.
                self.from.flow_control().release_capacity(room).map_err(|error| Pump2Error::Read(said(&error)))?;
                continue;
            }
            if self.to.poll_reset(cx).is_ready() {
                return Poll::Ready(Err(self.refused(cx)));
            }
            match ready!(self.from.poll_data(cx)) {
                Some(Ok(data)) => {
                    self.payload += data.len() as u64;
                    self.waiting = data;
                }
                Some(Err(error)) => return Poll::Ready(Err(Pump2Error::Read(said(&error)))),
                None => match ready!(self.from.poll_trailers(cx)) {
                    Ok(Some(trailers)) if trailers.len() > self.trailers_max => {
                        return Poll::Ready(Err(Pump2Error::TooManyTrailers));
                    }
                    Ok(Some(trailers)) => {
                        self.to.send_trailers(trailers).map_err(closed)?;
                        self.ended = true;
                    }
                    Ok(None) => {
                        self.to.send_data(Bytes::new(), true).map_err(closed)?;
                        self.ended = true;
                    }
                    Err(error) => return Poll::Ready(Err(Pump2Error::Read(said(&error)))),
                },
            }
        }
    }
}
