//! TLS that ends here: callers come encrypted, the application hears plain text.

use std::io;
use std::sync::Arc;
use std::task::Poll;

use raceway_tls::{Server, Trouble};
use tokio::io::ReadBuf;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::conn::Conn;
use crate::metrics::Handshakes;
use crate::sidecar::Sidecar;

/// The first byte of every TLS connection: a handshake record. No HTTP method and no preface begins with it.
const HANDSHAKE: u8 = 22;

/// How callers come in by TLS.
pub(crate) struct Termination {
    server: Arc<Server>,
    /// Those who come without are served too.
    plain_text: bool,
    handshakes: Handshakes,
}

/// What a connection has turned out to be.
pub(crate) enum Opened {
    /// Ready to be served.
    Ready(Conn),
    /// Plain text where TLS is required.
    Refused(TcpStream),
    /// It ended before it began.
    Gone,
}

impl Termination {
    pub(crate) fn new(server: Arc<Server>, plain_text: bool, handshakes: Handshakes) -> Self {
        Self { server, plain_text, handshakes }
    }

    /// Whether the application may have to speak first: to callers without TLS, who may wait for it to.
    pub(crate) fn plain_text(&self) -> bool {
        self.plain_text
    }

    /// Waits for the first byte as long as a connection may idle, since pools connect long before they ask, and then
    /// for the handshake as long as a request's head may take.
    pub(crate) async fn open(
        &self,
        sidecar: &Sidecar,
        stream: TcpStream,
        http2: bool,
        application: Option<&mut Conn>,
    ) -> Opened {
        let (idle, patience) = sidecar.patience();
        match timeout(idle, first_byte(&stream, application)).await {
            Ok(Ok(Some(HANDSHAKE))) => {}
            Ok(Ok(_)) if self.plain_text => return Opened::Ready(Conn::new(stream)),
            Ok(Ok(Some(_))) => return Opened::Refused(stream),
            Ok(Ok(None) | Err(_)) | Err(_) => return Opened::Gone,
        }
        let shaken = timeout(patience, self.server.accept(http2, stream)).await;
        let trouble = match shaken {
            Ok(Ok((stream, peer))) => {
                self.handshakes.done(&peer);
                return Opened::Ready(Conn::tls(stream, peer, None));
            }
            Ok(Err(trouble)) => trouble,
            Err(_) => Trouble::Broken(format!("not done after {patience:?}")),
        };
        self.handshakes.failed(trouble.reason());
        // Strangers can cause it as often as they like: counted always, told on request.
        tracing::debug!(error = %trouble, "TLS with a caller failed");
        Opened::Gone
    }
}

/// The caller's first byte, left where it is; `None` where it ends without one, or the application speaks first.
async fn first_byte(stream: &TcpStream, mut application: Option<&mut Conn>) -> io::Result<Option<u8>> {
    let mut byte = [0];
    std::future::poll_fn(|cx| {
        let mut peeked = ReadBuf::new(&mut byte);
        if let Poll::Ready(count) = stream.poll_peek(cx, &mut peeked)? {
            return Poll::Ready(Ok(peeked.filled().first().copied().filter(|_| count > 0)));
        }
        match application.as_mut().map(|application| application.poll_fill(cx)) {
            Some(Poll::Ready(_)) => Poll::Ready(Ok(None)),
            Some(Poll::Pending) | None => Poll::Pending,
        }
    })
    .await
}
