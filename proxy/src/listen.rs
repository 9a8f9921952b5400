//! Listeners: bound in one place, and one loop that accepts connections and never gives up.
//!
//! Three things go wrong where connections are accepted: the process runs out of descriptors (then a loop that just
//! tries again takes a whole core), more connections come than there is memory for, and a client is gone before it is
//! accepted. [`accept`] waits, answers 503, and carries on.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::drain::Drain;
use crate::metrics::Listener;
use crate::threads::Spread;
use crate::upstream::bear;

/// Connections that the kernel keeps until we accept them: it takes at most net.core.somaxconn, 4096 for years now.
const BACKLOG: u32 = 4096;
/// How long to wait when no descriptor is free: first, and at most. A tenth of a second is soon enough for a caller
/// whose SYN was taken, and costs nothing.
const PAUSE_FIRST: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(100);
/// How often the log says that connections cannot be accepted; the counter has every time.
const TOLD_EVERY: Duration = Duration::from_secs(5);
/// Refused connections that are told why at the same time; the rest is closed without a word.
const TELLING_MAX: usize = 64;
/// How long a refused client may take to send its request and to read why it is refused.
const TELLING_TIME: Duration = Duration::from_secs(1);

const OVERLOADED: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    content-type: text/plain\r\n\
    content-length: 84\r\n\
    retry-after: 1\r\n\
    x-raceway-error: overloaded\r\n\
    connection: close\r\n\
    \r\n\
    too many connections are open in the sidecar; see --connections-max and its metrics\n";

/// Listens on an address; port 0 lets the system choose.
///
/// Must be called within a tokio runtime. The error says what to do.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    bind_with(address, |_| Ok(()))
}

/// Like [`bind`], with IPv4 left to others where the address is `[::]`; for connections that were going elsewhere where
/// it is `transparent`.
pub(crate) fn bind_only(address: SocketAddr, transparent: bool) -> io::Result<TcpListener> {
    bind_with(address, |socket| {
        if transparent {
            bear(socket, address.is_ipv4())?;
        }
        if address.is_ipv6() {
            rustix::net::sockopt::set_ipv6_v6only(socket, true)?
        }
        Ok(())
    })
}

fn bind_with(address: SocketAddr, prepare: impl Fn(&TcpSocket) -> io::Result<()>) -> io::Result<TcpListener> {
    let bound = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        prepare(&socket)?;
        // A restarted sidecar must not wait for the last one's connections to leave TIME_WAIT.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    bound().map_err(|error| explained(address, &error))
}

/// What to do when an address cannot be had.
pub(crate) fn explained(address: SocketAddr, error: &io::Error) -> io::Error {
    let advice = match error.kind() {
        ErrorKind::AddrInUse => "another program listens there; stop it or choose another port (0: any free one)",
        ErrorKind::AddrNotAvailable => "no interface of this host has that address; use 0.0.0.0, [::] or 127.0.0.1",
        ErrorKind::PermissionDenied => "ports below 1024 need a privilege; choose a higher one",
        _ => "check the address",
    };
    io::Error::new(error.kind(), format!("cannot listen on {address}: {error}; {advice}"))
}

/// Addresses that cannot be had. Those that others have are told in one line: where one port is taken several are, by
/// one other sidecar.
#[derive(Debug, Default)]
pub(crate) struct Unbound {
    /// The address with its flag, and the whole line.
    taken: Vec<(String, String)>,
    others: Vec<String>,
}

impl Unbound {
    /// The error is one of [`bind`]'s.
    pub(crate) fn add(&mut self, flag: &str, address: SocketAddr, error: &io::Error) {
        let line = format!("{flag}: {error}");
        match error.kind() {
            ErrorKind::AddrInUse => self.taken.push((format!("{address} ({flag})"), line)),
            _ => self.others.push(line),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.taken.is_empty() && self.others.is_empty()
    }

    /// What to tell the operator.
    pub(crate) fn into_lines(self) -> Vec<String> {
        let (addresses, mut lines): (Vec<String>, Vec<String>) = self.taken.into_iter().unzip();
        if lines.len() > 1 {
            lines = vec![format!(
                "cannot listen on {}: in use; does another sidecar run here? Stop what listens there, or choose other \
                 ports (0: any free one)",
                addresses.join(", ")
            )];
        }
        lines.extend(self.others);
        lines
    }
}

/// Raises the limit on open files to what this process may have, and returns it.
///
/// Every connection takes two descriptors; the usual soft limit of 1024 is there for programs that use `select`.
pub fn raise_open_files() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // `None` stands for no limit.
    let wanted = Rlimit { current: maximum, maximum };
    if current != maximum && setrlimit(Resource::Nofile, wanted).is_ok() {
        return maximum.unwrap_or(u64::MAX);
    }
    current.unwrap_or(u64::MAX)
}

/// How many connections can be open at once: as many as wanted, or as the limit on open files leaves room for.
///
/// Running out of descriptors hits what is already open, and probes; refusing a connection hits only that one.
pub fn connections_for(files_max: u64, wanted: usize) -> usize {
    // Two for each, as it leads somewhere; a hundred for listeners, the admin listener's connections and the exporter.
    let room = files_max.saturating_sub(100).max(files_max / 2) / 2;
    let room = usize::try_from(room).unwrap_or(usize::MAX);
    // A few less than asked for are not worth a line at every start.
    if room < wanted / 10 * 9 {
        tracing::info!(files_max, wanted, room, "the limit on open files leaves room for fewer connections");
    }
    wanted.min(room)
}

/// Accepts connections and serves each in a task, on this thread or another, until [`Drain::end`].
///
/// Draining alone does not stop it: callers learn late that a sidecar is leaving, and an application that finishes its
/// work still makes calls. When this returns, or is dropped, no task that it started is running.
pub async fn accept<Serve, Served>(
    listener: TcpListener,
    (connections_max, spread): (usize, Spread),
    drain: Drain,
    metrics: Listener,
    mut serve: Serve,
) where
    Serve: FnMut(TcpStream, SocketAddr) -> Served,
    Served: Future<Output = ()> + Send + 'static,
{
    // Both end their tasks when they are dropped.
    let (mut serving, mut telling) = (JoinSet::new(), JoinSet::new());
    let mut pause = PAUSE_FIRST;
    let mut told: Option<Instant> = None;
    let mut ended = std::pin::pin!(drain.ended());
    loop {
        let accepted = tokio::select! {
            () = &mut ended => break,
            // Finished tasks are taken out as they finish; a panic in one of them is reported and stays in it.
            Some(done) = serving.join_next() => { report(done); continue }
            Some(done) = telling.join_next() => { report(done); continue }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, caller)) => {
                pause = PAUSE_FIRST;
                // Small writes are whole messages here; waiting for more only adds delay.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "cannot set TCP_NODELAY");
                }
                let Some(open) = metrics.open(connections_max) else {
                    if telling.len() < TELLING_MAX {
                        telling.spawn(tell(stream));
                    }
                    continue;
                };
                let (stream, there, seat) = match spread.place(stream) {
                    Ok(placed) => placed,
                    Err(error) => {
                        tracing::debug!(%error, "cannot take a connection to its thread");
                        metrics.accept_failed("thread");
                        continue;
                    }
                };
                // Moved into the block below as it is, its state would be kept room for twice.
                let served = Box::pin(serve(stream, caller));
                let task = async move {
                    served.await;
                    drop((open, seat));
                };
                match there {
                    None => serving.spawn(task),
                    Some(thread) => serving.spawn_on(task, &thread),
                };
            }
            Err(error) => {
                let (reason, wait) = failure(&error);
                metrics.accept_failed(reason);
                if wait {
                    if told.is_none_or(|told| told.elapsed() >= TOLD_EVERY) {
                        tracing::warn!(%error, reason, "cannot accept connections, trying again");
                        told = Some(Instant::now());
                    }
                    sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }
    serving.shutdown().await;
    telling.shutdown().await;
}

fn report(done: Result<(), tokio::task::JoinError>) {
    if let Err(error) = done
        && error.is_panic()
    {
        tracing::error!(%error, "a connection's task panicked");
    }
}

/// The word for the counter, and whether trying again at once would only fail again.
fn failure(error: &io::Error) -> (&'static str, bool) {
    match Errno::from_io_error(error) {
        Some(Errno::MFILE | Errno::NFILE) => ("file_limit", true),
        Some(Errno::NOBUFS | Errno::NOMEM) => ("memory", true),
        // Of this one connection, not of the listener (accept(2) lists more of them; they are as harmless).
        Some(Errno::CONNABORTED | Errno::CONNRESET | Errno::PROTO | Errno::INTR) => ("aborted", false),
        _ => ("other", true),
    }
}

/// Answers 503 once the client has spoken: closing with its request unread would make the system send a reset, which
/// may overtake the answer.
async fn tell(mut stream: TcpStream) {
    let told = async {
        let mut request = [0; 2048];
        let _ = stream.read(&mut request).await?;
        stream.write_all(OVERLOADED).await?;
        stream.shutdown().await?;
        while stream.read(&mut request).await? > 0 {}
        io::Result::Ok(())
    };
    // Nothing depends on it: the client is told or finds out.
    let _ = timeout(TELLING_TIME, told).await;
}

#[cfg(test)]
mod tests;
