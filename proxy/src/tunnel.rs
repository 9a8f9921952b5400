//! Bytes both ways, for whatever is not HTTP, or no longer is.

use std::future::Future;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::conn::Conn;
use crate::pump::{Pump, PumpError};

/// Copies until both sides have ended. One side's end is passed on as it is (half-close); a broken side breaks the
/// other. Where nothing moves for `idle`, it ends with [`io::ErrorKind::TimedOut`].
pub(crate) async fn run(
    (down, up): (&mut Conn, &mut Conn),
    (there, back): (&mut Pump, &mut Pump),
    idle: Duration,
) -> io::Result<()> {
    let (mut there, mut back) = (Way::new(there), Way::new(back));
    let mut alarm = std::pin::pin!(tokio::time::sleep(idle));
    let mut moved = 0;
    std::future::poll_fn(|cx| {
        let ended = (there.poll(cx, down, up)?, back.poll(cx, up, down)?);
        if let (Poll::Ready(()), Poll::Ready(())) = ended {
            return Poll::Ready(Ok(()));
        }
        // Looked at when it rings only, so that bytes on their way cost no clock; between one and two periods of
        // silence are noticed.
        while alarm.as_mut().poll(cx).is_ready() {
            let moves = there.pump.payload() + back.pump.payload();
            if std::mem::replace(&mut moved, moves) == moves {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            alarm.as_mut().reset(tokio::time::Instant::now() + idle);
        }
        Poll::Pending
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
