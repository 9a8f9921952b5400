//! A connection, plain or under TLS, with what has been read from it and what waits to be written to it.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, BytesMut};
use raceway_tls::{Peer, TlsStream, Trouble};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// What one read asks for at least. Most heads fit; more connections' buffers stay in the processor's cache.
const READ_BYTES: usize = 8 * 1024;

/// What one read asks for while a large body flows: fewer system calls, still less than a socket's own buffer.
const BULK_READ_BYTES: usize = 64 * 1024;

/// Buffers kept for the next connection that has something to say. Beyond these, memory goes back.
const SPARE_BUFFERS_MAX: usize = 64;

/// One side of a conversation.
///
/// A connection holds buffers only while bytes are on their way: idle, it costs its socket and this struct.
pub(crate) struct Conn {
    stream: Stream,
    /// Read, and not yet used.
    pub(crate) input: BytesMut,
    /// To be written at the next flush.
    pub(crate) output: BytesMut,
    /// The last read filled all the room there was, so the next may ask for more.
    bulk: bool,
    /// The peer has said that it will send nothing more.
    pub(crate) ended: bool,
    /// Where it leads, if it was dialled.
    pub(crate) address: Option<IpAddr>,
}

/// What the bytes go through.
enum Stream {
    Plain(TcpStream),
    /// Apart, so that a plain connection stays as small as it is.
    Tls(Box<Tls>),
}

struct Tls {
    stream: TlsStream<TcpStream>,
    peer: Arc<Peer>,
    /// Broken off: no word of farewell.
    reset: bool,
}

impl Tls {
    /// Writes. Where that fails, the peer may have said why before it closed: what it said is the error then, waited for
    /// if it is on its way, as a socket that cannot be written to any more has its end to tell. For whoever gives the
    /// connection up at a failed write: what else there is to read may be lost.
    fn or_word<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut TlsStream<TcpStream>>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let error = match ready!(write(Pin::new(&mut self.stream), cx)) {
            Ok(done) => return Poll::Ready(Ok(done)),
            Err(error) => error,
        };
        let mut byte = [0];
        match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut ReadBuf::new(&mut byte))) {
            Err(word) if Trouble::in_error(&word).is_some() => Poll::Ready(Err(word)),
            _ => Poll::Ready(Err(error)),
        }
    }
}

impl Conn {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self::over(Stream::Plain(stream), None)
    }

    /// One that we made, to this address.
    pub(crate) fn dialled(stream: TcpStream, address: IpAddr) -> Self {
        Self::over(Stream::Plain(stream), Some(address))
    }

    /// One whose handshake is done.
    pub(crate) fn tls(stream: TlsStream<TcpStream>, peer: Peer, address: Option<IpAddr>) -> Self {
        Self::over(Stream::Tls(Box::new(Tls { stream, peer: Arc::new(peer), reset: false })), address)
    }

    fn over(stream: Stream, address: Option<IpAddr>) -> Self {
        Self { stream, input: BytesMut::new(), output: BytesMut::new(), bulk: false, ended: false, address }
    }

    /// Who the other side is, where TLS told.
    pub(crate) fn peer(&self) -> Option<&Arc<Peer>> {
        match &self.stream {
            Stream::Plain(_) => None,
            Stream::Tls(tls) => Some(&tls.peer),
        }
    }

    /// The socket, where nothing stands between it and the bytes.
    pub(crate) fn plain(&self) -> Option<&TcpStream> {
        match &self.stream {
            Stream::Plain(stream) => Some(stream),
            Stream::Tls(_) => None,
        }
    }

    /// Whether more came at the last read than there was room for: a large body is on its way.
    pub(crate) fn is_bulk(&self) -> bool {
        self.bulk
    }

    /// Reads once, behind what is there already. `0` is the end of the stream.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.ended {
            return Poll::Ready(Ok(0));
        }
        if self.input.capacity() == 0 {
            self.input = spare_buffer();
        }
        let wanted = if self.bulk { BULK_READ_BYTES } else { READ_BYTES };
        if self.input.capacity() - self.input.len() < wanted / 2 {
            self.input.reserve(wanted);
        }
        let room = self.input.capacity() - self.input.len();
        let read = match &mut self.stream {
            Stream::Plain(stream) => tokio_util::io::poll_read_buf(Pin::new(stream), cx, &mut self.input),
            Stream::Tls(tls) => tokio_util::io::poll_read_buf(Pin::new(&mut tls.stream), cx, &mut self.input),
        };
        match read {
            Poll::Ready(Ok(count)) => {
                self.ended = count == 0;
                self.bulk = count == room;
                Poll::Ready(Ok(count))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                if self.input.is_empty() {
                    give_back(std::mem::take(&mut self.input));
                }
                Poll::Pending
            }
        }
    }

    /// Whether the peer has said nothing since it was last read from: no end, and nothing that nobody asked for.
    pub(crate) fn is_silent(&mut self) -> bool {
        self.input.is_empty() && self.poll_fill(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    /// Reads once, behind what is there already. `0` is the end of the stream.
    pub(crate) async fn fill(&mut self) -> io::Result<usize> {
        std::future::poll_fn(|cx| self.poll_fill(cx)).await
    }

    /// Writes all of the output.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.output.is_empty() {
            let written = ready!(self.poll_write(cx, None))?;
            self.output.advance(written);
        }
        if self.output.capacity() > 0 {
            give_back(std::mem::take(&mut self.output));
        }
        match &mut self.stream {
            Stream::Plain(_) => Poll::Ready(Ok(())),
            Stream::Tls(tls) => Pin::new(&mut tls.stream).poll_flush(cx),
        }
    }

    /// Writes all of the output.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        std::future::poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Writes once: the given bytes (nothing may wait in the output then), else what waits.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: Option<&[u8]>) -> Poll<io::Result<usize>> {
        let bytes = bytes.unwrap_or(&self.output);
        let stream = match &mut self.stream {
            Stream::Plain(stream) => stream,
            Stream::Tls(tls) => {
                return Pin::new(&mut tls.stream).poll_write(cx, bytes).map(|written| match written {
                    Ok(0) => Err(io::ErrorKind::WriteZero.into()),
                    written => written,
                });
            }
        };
        loop {
            ready!(stream.poll_write_ready(cx))?;
            match stream.try_write(bytes) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(written) => return Poll::Ready(Ok(written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// The output, with room: what is put there goes out with the next flush.
    pub(crate) fn outgoing(&mut self) -> &mut BytesMut {
        if self.output.capacity() == 0 {
            self.output = spare_buffer();
        }
        &mut self.output
    }

    /// Tells the peer that nothing more will come (FIN).
    pub(crate) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(tls) => Pin::new(&mut tls.stream).poll_shutdown(cx),
        }
    }

    /// Makes the connection end the hard way (RST) once it is dropped, as the other side's peer ended it.
    pub(crate) fn reset(&mut self) {
        let stream = match &mut self.stream {
            Stream::Plain(stream) => stream,
            Stream::Tls(tls) => {
                tls.reset = true;
                tls.stream.get_ref().0
            }
        };
        // Closing with a linger time of zero is what sends RST. Where the option cannot be set, FIN has to do.
        if let Err(error) = stream.set_zero_linger() {
            tracing::debug!(%error, "cannot reset a connection");
        }
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        if let Stream::Tls(tls) = &mut self.stream
            && !tls.reset
        {
            // Without a word of farewell, a body that ends with the connection looks cut off to the other side. What does
            // not go without waiting does not go: a few bytes nearly always do.
            let goodbye = std::future::poll_fn(|cx| Pin::new(&mut tls.stream).poll_shutdown(cx));
            // Not held back either because this task has done much already.
            let goodbye = std::pin::pin!(tokio::task::unconstrained(goodbye));
            let _ = goodbye.poll(&mut Context::from_waker(Waker::noop()));
        }
        give_back(std::mem::take(&mut self.input));
        give_back(std::mem::take(&mut self.output));
    }
}

thread_local! {
    /// Last in, first out: the buffer used a moment ago is still in the cache.
    static SPARE: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

fn spare_buffer() -> BytesMut {
    SPARE.with_borrow_mut(Vec::pop).unwrap_or_else(|| BytesMut::with_capacity(READ_BYTES))
}

fn give_back(mut buffer: BytesMut) {
    buffer.clear();
    // Advancing eats capacity from the front; `reserve` takes it back, as nobody else holds the allocation.
    if buffer.capacity() == 0 || !buffer.try_reclaim(READ_BYTES) || buffer.capacity() > 2 * READ_BYTES {
        return;
    }
    SPARE.with_borrow_mut(|spare| {
        if spare.len() < SPARE_BUFFERS_MAX {
            spare.push(buffer);
        }
    });
}

/// For the HTTP/2 library, which reads what has been read already first.
impl AsyncRead for Conn {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.input.is_empty() {
            return match &mut self.stream {
                Stream::Plain(stream) => Pin::new(stream).poll_read(cx, into),
                Stream::Tls(tls) => Pin::new(&mut tls.stream).poll_read(cx, into),
            };
        }
        let count = into.remaining().min(self.input.len());
        into.put_slice(&self.input.split_to(count));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Conn {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Tls(tls) => tls.or_word(cx, |stream, cx| stream.poll_write(cx, bytes)),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Stream::Tls(tls) => tls.or_word(cx, |stream, cx| stream.poll_write_vectored(cx, slices)),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(tls) => tls.stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(tls) => tls.or_word(cx, TlsStream::poll_flush),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Conn::poll_end(&mut self, cx)
    }
}
