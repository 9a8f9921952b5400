//! Which connections are our own, so that one that is redirected back to us is not followed round and round.
//!
//! That happens where the sidecar does not run as the user that the redirect rules leave alone. Every turn would open
//! two more connections, until there are no descriptors.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};
use std::os::fd::OwnedFd;
use tokio::net::TcpStream;

use super::source::Sources;

/// How long a connection is remembered: one that comes back does so at once, if the accept queue is not full.
const REMEMBERED: Duration = Duration::from_secs(5);

/// Most that are remembered: as many as wait in a full accept queue. One that is forgotten is found a turn later.
const REMEMBERED_MAX: usize = 4096;

/// From where to where, for the connections made lately.
#[derive(Debug, Default)]
pub(super) struct OwnCalls {
    made: Mutex<Made>,
    sources: Arc<Sources>,
}

#[derive(Debug, Default)]
struct Made {
    calls: HashSet<(SocketAddr, SocketAddr)>,
    order: VecDeque<(Instant, SocketAddr, SocketAddr)>,
}

impl OwnCalls {
    /// Connects, and has noted its own address before anybody can accept the connection.
    /// In the name of `source`, where that is somebody else's address.
    pub(super) async fn connect(&self, there: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
        let socket = match source {
            None => {
                let socket = socket_for(there)?;
                begin(&socket, there)?;
                socket
            }
            Some(source) => self.sources.begin(source, there)?,
        };
        let stream = std::net::TcpStream::from(socket);
        self.note(stream.local_addr()?, there);
        let stream = TcpStream::from_std(stream)?;
        stream.writable().await?;
        match stream.take_error()? {
            Some(error) => Err(error),
            None => Ok(stream),
        }
    }

    pub(super) fn sources(&self) -> &Arc<Sources> {
        &self.sources
    }

    fn note(&self, from: SocketAddr, there: SocketAddr) {
        let now = Instant::now();
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(&(at, from, there)) = made.order.front()
            && (made.order.len() >= REMEMBERED_MAX || now.duration_since(at) > REMEMBERED)
        {
            made.order.pop_front();
            made.calls.remove(&key(from, there));
        }
        made.order.push_back((now, from, there));
        made.calls.insert(key(from, there));
    }

    /// Whether a connection between these two is ours.
    pub(super) fn has(&self, from: SocketAddr, there: SocketAddr) -> bool {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.calls.contains(&key(from, there))
    }
}

/// A socket for a connection to there.
pub(super) fn socket_for(there: SocketAddr) -> io::Result<OwnedFd> {
    let family = if there.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    Ok(socket_with(family, SocketType::STREAM, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, None)?)
}

/// Begins to connect.
pub(super) fn begin(socket: &OwnedFd, there: SocketAddr) -> Result<(), Errno> {
    match connect(socket, &there) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Without the scope, which is told for some sockets only.
fn key(from: SocketAddr, there: SocketAddr) -> (SocketAddr, SocketAddr) {
    let plain = |it: SocketAddr| SocketAddr::new(it.ip(), it.port());
    (plain(from), plain(there))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[tokio::test]
    async fn a_call_is_ours_from_the_first_moment() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let there = listener.local_addr().expect("bound");
        let calls = OwnCalls::default();
        let stream = calls.connect(there, None).await.expect("it listens");
        let (_, from) = listener.accept().await.expect("a connection");
        assert_eq!(stream.local_addr().expect("connected"), from);
        assert!(calls.has(from, there));
        assert!(!calls.has(from, address("192.0.2.1:80")), "the same port may be used for another destination");
        drop(listener);
        let error = calls.connect(there, None).await.expect_err("nobody listens any more");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn memory_is_bounded() {
        let calls = OwnCalls::default();
        let there = address("192.0.2.1:80");
        let from = |count: u16| SocketAddr::from(([10, 0, 0, 1], count));
        (1..=u16::MAX).for_each(|count| calls.note(from(count), there));
        let made = calls.made.lock().expect("no test panicked");
        assert_eq!((made.calls.len(), made.order.len()), (REMEMBERED_MAX, REMEMBERED_MAX));
        drop(made);
        assert!(calls.has(from(u16::MAX), there) && !calls.has(from(1), there));
    }
}
