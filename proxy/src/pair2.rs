//! HTTP/2: the connection made for one caller's connection, and what the two learn of each other's end.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::Reason;
use h2::client::{Connection, SendRequest};
use raceway_tls::{Alpn, Peer, Trouble};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Mutex, Notify};
use tokio::task::JoinSet;

use crate::conn::Conn;
use crate::failure::Failure;
use crate::http1::Limits;
use crate::upstream::{Dialer, Failed, Target};
use crate::watched::OwnResets;

/// Streams a caller may have open at once; clients queue beyond what the server allows.
pub(crate) const STREAMS_MAX: u32 = 250;

/// Bytes a sender may have on the way in one stream: one bandwidth-delay product of 1 Gbit/s at 1 ms.
pub(crate) const STREAM_WINDOW_BYTES: u32 = 128 * 1024;

/// The same for all streams of a connection together. With less, streams whose receiver does not read would in the end
/// hold back all others, which without us they need not. So this, and no more, is what waits here for one connection's
/// slow receivers each way: 31 MiB, and [`SEND_BYTES_MAX`] for each stream.
pub(crate) const CONNECTION_WINDOW_BYTES: u32 = STREAMS_MAX * STREAM_WINDOW_BYTES;

/// Bytes of one stream that may wait to be written, where its receiver gave more room than its socket takes.
pub(crate) const SEND_BYTES_MAX: usize = 64 * 1024;

/// Where the streams of one caller's connection go.
pub(crate) struct Pair2 {
    pub(crate) target: Arc<Target>,
    dialer: Arc<Dialer>,
    pub(crate) head_bytes: u32,
    pub(crate) fields_max: usize,
    /// The connection made for the caller, once it is there.
    up: Mutex<Up>,
    /// Told when the server has something to say about the connection as a whole: see [`Pair2::news`].
    news: Notify,
    said: Said,
    /// Whether the connection made for the caller is to end with a reset.
    broken: Arc<AtomicBool>,
    /// Who the caller is, and who answers, where TLS told.
    pub(crate) caller: Option<Arc<Peer>>,
    pub(crate) callee: OnceLock<Arc<Peer>>,
    /// Why TLS ended the connection made for this caller: its streams are told only that it broke.
    trouble: OnceLock<Trouble>,
    /// Streams of the caller's that we reset.
    pub(crate) own_resets: OwnResets,
    /// A stream has been answered over the connection made for this caller.
    answered: AtomicBool,
}

/// What the server has said so far.
#[derive(Default)]
struct Said {
    /// It takes no more streams.
    leaving: AtomicBool,
    /// The code of its GOAWAY, where that tells us off.
    told_off: OnceLock<Reason>,
    closed: AtomicBool,
    /// It takes extended CONNECT (RFC 8441): WebSockets.
    extended_connect: AtomicBool,
}

/// What there is to tell the caller.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct News {
    /// No more streams, please.
    pub(crate) leaving: bool,
    /// The same, because the server is not satisfied with us.
    pub(crate) told_off: Option<Reason>,
    /// The connection is over.
    pub(crate) closed: bool,
    /// WebSockets are welcome.
    pub(crate) extended_connect: bool,
}

#[derive(Default)]
struct Up {
    stream: Option<Conn>,
    sender: Option<(SendRequest<Bytes>, Option<IpAddr>)>,
    /// The last attempt to connect, where it failed.
    failed: Option<Failed>,
    tasks: JoinSet<()>,
}

impl Pair2 {
    pub(crate) fn new(
        caller: Option<Arc<Peer>>,
        (stream, failed): (Option<Conn>, Option<Failed>),
        target: Arc<Target>,
        dialer: Arc<Dialer>,
        limits: Limits,
    ) -> Self {
        Self {
            target,
            dialer,
            head_bytes: u32::try_from(limits.head_bytes).unwrap_or(u32::MAX),
            fields_max: limits.fields,
            up: Mutex::new(Up { stream, failed, ..Up::default() }),
            news: Notify::new(),
            said: Said::default(),
            broken: Arc::default(),
            caller,
            callee: OnceLock::new(),
            trouble: OnceLock::new(),
            own_resets: OwnResets::default(),
            answered: AtomicBool::new(false),
        }
    }

    /// A handle on the connection made for this caller, which is dialled by the first stream that asks, and where it
    /// leads.
    pub(crate) async fn sender(self: &Arc<Self>) -> Result<(SendRequest<Bytes>, Option<IpAddr>), Failure> {
        let mut up = self.up.lock().await;
        if let Some(sender) = &up.sender {
            return Ok(sender.clone());
        }
        let stream = match up.stream.take() {
            Some(stream) => stream,
            None => match up.failed.take().filter(Failed::is_recent) {
                // Streams ask one after the other: each would wait for a time-out of its own.
                Some(failed) => return Err(up.failed.insert(failed).failure.again()),
                None => match self.dialer.connect(&self.target, Alpn::Http2).await {
                    Ok(stream) => stream,
                    Err(failure) => return Err(up.failed.insert(failure.into()).failure.again()),
                },
            },
        };
        if let Some(peer) = stream.peer() {
            self.callee.get_or_init(|| Arc::clone(peer));
        }
        let address = stream.address;
        let (sender, connection) = h2::client::Builder::new()
            .initial_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_send_buffer_size(SEND_BYTES_MAX)
            .max_header_list_size(self.head_bytes)
            .enable_push(false)
            .handshake::<_, Bytes>(Breakable { conn: stream, broken: Arc::clone(&self.broken) })
            .await
            .map_err(|error| self.failure(error))?;
        let (pair, watch) = (Arc::downgrade(self), sender.clone());
        up.tasks.spawn(async move {
            let ended = run(connection, watch, |news| {
                if let Some(pair) = pair.upgrade() {
                    pair.tell(news);
                }
            });
            let ended = ended.await;
            if let Err(error) = &ended {
                tracing::debug!(%error, "an HTTP/2 connection ended");
            }
            if let Some(pair) = pair.upgrade() {
                if let Some(trouble) = ended.err().as_ref().and_then(h2::Error::get_io).and_then(Trouble::in_error) {
                    pair.trouble.get_or_init(|| trouble);
                }
                pair.said.leaving.store(true, Ordering::Relaxed);
                pair.said.closed.store(true, Ordering::Relaxed);
                pair.news.notify_one();
            }
        });
        Ok(up.sender.insert((sender, address)).clone())
    }

    fn tell(&self, news: News) {
        if let Some(reason) = news.told_off {
            self.said.told_off.get_or_init(|| reason);
        }
        self.said.leaving.fetch_or(news.leaving, Ordering::Relaxed);
        self.said.extended_connect.fetch_or(news.extended_connect, Ordering::Relaxed);
        self.news.notify_one();
    }

    /// Waits until the server says something about the connection as a whole; all that it has said so far.
    pub(crate) async fn news(&self) -> News {
        self.news.notified().await;
        News {
            leaving: self.said.leaving.load(Ordering::Relaxed),
            told_off: self.told_off(),
            closed: self.said.closed.load(Ordering::Relaxed),
            extended_connect: self.said.extended_connect.load(Ordering::Relaxed),
        }
    }

    /// Why the server ends the connection, where it is not satisfied with us.
    pub(crate) fn told_off(&self) -> Option<Reason> {
        self.said.told_off.get().copied()
    }

    /// The caller has broken its connection (RST): the server shall see the same.
    pub(crate) fn break_off(&self) {
        self.broken.store(true, Ordering::Relaxed);
    }

    pub(crate) fn failure(&self, error: h2::Error) -> Failure {
        let target = self.target.to_string();
        match error.get_io().and_then(Trouble::in_error).or_else(|| self.trouble.get().cloned()) {
            Some(trouble) => Failure::Tls { target, trouble },
            None => Failure::Stream { target, error },
        }
    }

    /// A stream was answered: from now on the connection is one that has served.
    pub(crate) fn has_answered(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }

    /// The connection ended, and may have done so before the request was there. One that has served is closed by its
    /// server some day, and the caller may well ask again.
    pub(crate) fn closed(&self, error: h2::Error) -> Failure {
        if error.is_io() && self.trouble.get().is_none() && self.answered.load(Ordering::Relaxed) {
            return Failure::ClosedWhileIdle { target: self.target.to_string() };
        }
        self.failure(error)
    }
}

/// Runs the connection to its end, and tells what the server says about it on the way. The library has no event for
/// that: whether a stream could be begun is looked at whenever something has come.
async fn run(
    connection: Connection<Breakable, Bytes>,
    watch: SendRequest<Bytes>,
    tell: impl Fn(News),
) -> Result<(), h2::Error> {
    let mut connection = std::pin::pin!(connection);
    let (mut sender, mut told) = (watch, News::default());
    std::future::poll_fn(|cx| {
        let ended = connection.as_mut().poll(cx);
        let mut news = told;
        news.extended_connect |= sender.is_extended_connect_protocol_enabled();
        if let Poll::Ready(Err(error)) = sender.poll_ready(cx) {
            // A goodbye in order may be followed by one that is not.
            let code = error.reason().filter(|_| error.is_go_away() && error.is_remote());
            news.told_off = news.told_off.or(code.filter(|code| *code != Reason::NO_ERROR));
            news.leaving = true;
        }
        if news != told {
            told = news;
            tell(news);
        }
        ended
    })
    .await
}

/// A connection that ends with a reset once it is said to be broken.
struct Breakable {
    conn: Conn,
    broken: Arc<AtomicBool>,
}

impl Drop for Breakable {
    fn drop(&mut self) {
        if self.broken.load(Ordering::Relaxed) {
            self.conn.reset();
        }
    }
}

impl AsyncRead for Breakable {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.conn).poll_read(cx, buf)
    }
}

impl AsyncWrite for Breakable {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.conn).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.conn).poll_write_vectored(cx, pieces)
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
