//! Bytes both ways, for whatever is not HTTP, or no longer is.

use std::io;
use std::task::{Context, Poll, ready};

use crate::conn::Conn;
use crate::pump::{Pump, PumpError};

/// Copies until both sides have ended. One side's end is passed on as it is (half-close); a broken side breaks the
/// other.
pub(crate) async fn run(down: &mut Conn, up: &mut Conn, there: &mut Pump, back: &mut Pump) -> io::Result<()> {
    let (mut there, mut back) = (Way::new(there), Way::new(back));
    std::future::poll_fn(|cx| {
        let there = there.poll(cx, down, up)?;
        let back = back.poll(cx, up, down)?;
        if there.is_ready() && back.is_ready() { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await
}

/// One direction.
struct Way<'a> {
    pump: &'a mut Pump,
    ended: bool,
}

impl<'a> Way<'a> {
    fn new(pump: &'a mut Pump) -> Self {
        Self { pump, ended: false }
    }

    fn poll(&mut self, cx: &mut Context<'_>, from: &mut Conn, to: &mut Conn) -> Poll<io::Result<()>> {
        if !self.ended {
            ready!(self.pump.poll(cx, from, to)).map_err(|error| match error {
                PumpError::Read(error) | PumpError::Write(error) => error,
                PumpError::Broken(error) => io::Error::new(io::ErrorKind::InvalidData, error),
            })?;
            ready!(to.poll_end(cx))?;
            self.ended = true;
        }
        Poll::Ready(Ok(()))
    }
}
