//! Large bodies from socket to socket within the kernel, without their bytes coming up here (`splice(2)`).

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, splice};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Below this, two copies are cheaper than the way around.
pub(crate) const WORTH_BYTES: u64 = 32 * 1024;

/// What one call asks for; a pipe holds less.
const PIECE_BYTES: u64 = 1 << 20;

/// Empty pipes kept for the next body. A body that waits for its sender has none.
const SPARE_PIPES_MAX: usize = 16;

const FLAGS: SpliceFlags = SpliceFlags::NONBLOCK.union(SpliceFlags::MOVE);

/// The kernel has said that it cannot do this.
static UNSUPPORTED: AtomicBool = AtomicBool::new(false);

thread_local! {
    static SPARE: RefCell<Vec<Pipe>> = const { RefCell::new(Vec::new()) };
}

/// A pipe between two sockets. What is in it has left the one and not reached the other.
pub(crate) struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    held: usize,
}

impl Pipe {
    /// An empty pipe; `None` where there are no descriptors left for one, or no use.
    pub(crate) fn get() -> Option<Self> {
        if UNSUPPORTED.load(Ordering::Relaxed) {
            return None;
        }
        SPARE.with_borrow_mut(Vec::pop).or_else(|| {
            let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
            Some(Self { read, write, held: 0 })
        })
    }

    /// For the next body. One that holds bytes is closed instead.
    pub(crate) fn give_back(self) {
        SPARE.with_borrow_mut(|spare| {
            if self.held == 0 && spare.len() < SPARE_PIPES_MAX {
                spare.push(self);
            }
        });
    }

    /// Takes up to `most` bytes from the sender into the empty pipe; `0` is the end of the stream.
    /// [`io::ErrorKind::Unsupported`]: nothing was taken, read instead.
    pub(crate) fn poll_take(&mut self, cx: &mut Context<'_>, from: &TcpStream, most: u64) -> Poll<io::Result<usize>> {
        let most = usize::try_from(most.min(PIECE_BYTES)).unwrap_or(usize::MAX);
        loop {
            ready!(from.poll_read_ready(cx))?;
            match from.try_io(Interest::READABLE, || Ok(splice(from, None, &self.write, None, most, FLAGS)?)) {
                Ok(taken) => {
                    self.held = taken;
                    return Poll::Ready(Ok(taken));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
                    UNSUPPORTED.store(true, Ordering::Relaxed);
                    return Poll::Ready(Err(io::ErrorKind::Unsupported.into()));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Gives all that was taken to the receiver.
    pub(crate) fn poll_give(&mut self, cx: &mut Context<'_>, to: &TcpStream) -> Poll<io::Result<()>> {
        while self.held > 0 {
            ready!(to.poll_write_ready(cx))?;
            match to.try_io(Interest::WRITABLE, || Ok(splice(&self.read, None, to, None, self.held, FLAGS)?)) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(given) => self.held -= given,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }
}
