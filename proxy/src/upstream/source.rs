//! Connections to the application in its callers' names (`--inbound-source caller`): from their address, and a port that
//! they do not use.
//!
//! Not from their very port: the caller's connection to us and ours to the application then had the same addresses and
//! ports at both ends, and the kernel could not tell them apart.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::io::Errno;
use rustix::net::{bind, sockopt};
use socket2::SockRef;

use super::own_calls::{begin, socket_for};

/// Ports to call from. Systems give their own connections ports from 32768 up, so that a caller that comes later nearly
/// never has one of these; below 10000 servers listen.
const PORTS: std::ops::Range<u16> = 10_000..32_768;

/// How many of them are tried, each taken by another connection of this caller to the same port of the application.
const TRIES: usize = 64;

const NOT_PERMITTED: &str = "the application cannot be called from its callers' addresses without the capability NET_ADMIN \
    or NET_RAW: start the sidecar with one of them (setpriv --inh-caps +net_raw --ambient-caps +net_raw; \
    capabilities.add: [NET_ADMIN] of its container), or leave it at --inbound-source own";

/// Who calls, and which ports are ours to use in their names.
#[derive(Debug)]
pub(crate) struct Sources {
    /// Callers' connections that are open, each with where it leads.
    callers: Mutex<HashSet<(SocketAddr, SocketAddr)>>,
    next: AtomicU16,
}

impl Default for Sources {
    fn default() -> Self {
        // Not the same ones right after a restart, when the kernel still remembers them.
        Self { callers: Mutex::default(), next: AtomicU16::new(fastrand::u16(..)) }
    }
}

/// A caller's connection is open.
#[derive(Debug)]
pub(crate) struct CallsFor {
    sources: Arc<Sources>,
    connection: (SocketAddr, SocketAddr),
}

impl Drop for CallsFor {
    fn drop(&mut self) {
        self.sources.lock().remove(&self.connection);
    }
}

impl Sources {
    pub(super) fn calls_for(self: &Arc<Self>, caller: SocketAddr, there: SocketAddr) -> CallsFor {
        let connection = (plain(caller), plain(there));
        self.lock().insert(connection);
        CallsFor { sources: Arc::clone(self), connection }
    }

    /// Begins to connect from this address.
    pub(super) fn begin(&self, source: IpAddr, there: SocketAddr) -> io::Result<OwnedFd> {
        for _ in 0..TRIES {
            let from = SocketAddr::new(source, self.port());
            if self.lock().contains(&(from, plain(there))) {
                continue;
            }
            let socket = socket_for(there)?;
            bear(&socket, there.is_ipv4())?;
            // One port serves connections to several destinations, and again while the last one is in TIME_WAIT.
            sockopt::set_socket_reuseaddr(&socket, true)?;
            match bind(&socket, &from).and_then(|()| begin(&socket, there)) {
                Ok(()) => return Ok(socket),
                Err(Errno::ADDRINUSE | Errno::ADDRNOTAVAIL) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(io::Error::new(io::ErrorKind::AddrNotAvailable, "no port is left to call from in the caller's name"))
    }

    fn port(&self) -> u16 {
        PORTS.start + self.next.fetch_add(1, Ordering::Relaxed) % (PORTS.end - PORTS.start)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<(SocketAddr, SocketAddr)>> {
        self.callers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Without the scope, which is told for some sockets only.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip(), address.port())
}

/// Lets a socket have an address that is not this host's, and a listener take connections that are going elsewhere.
pub(crate) fn bear(socket: &impl AsFd, ipv4: bool) -> io::Result<()> {
    let socket = SockRef::from(socket);
    if ipv4 { socket.set_ip_transparent_v4(true) } else { socket.set_ip_transparent_v6(true) }
}

/// Whether this process may do that; the error says what is missing.
pub(crate) fn may_bear_callers_addresses() -> io::Result<()> {
    let socket = socket_for(SocketAddr::from(([0, 0, 0, 0], 0)))?;
    bear(&socket, true).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => io::Error::new(error.kind(), NOT_PERMITTED),
        _ => error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn ports_stay_in_their_range_and_callers_are_forgotten() {
        let sources = Arc::new(Sources::default());
        assert!((0..=u16::MAX).all(|_| PORTS.contains(&sources.port())));
        let (caller, there) = (address("[fe80::1%3]:40000"), address("[fe80::2%3]:80"));
        let guard = sources.calls_for(caller, there);
        assert!(sources.lock().contains(&(address("[fe80::1]:40000"), address("[fe80::2]:80"))));
        drop(guard);
        assert!(sources.lock().is_empty());
    }
}
