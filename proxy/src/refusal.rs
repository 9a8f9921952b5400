//! Answers in the name of the sidecar, HTTP/1.

use std::io;
use std::time::Duration;

use bytes::BytesMut;

use crate::conn::Conn;
use crate::failure::{Failure, reason_phrase};

/// How long we wait for a caller to read an answer of ours before the connection is closed.
const LINGER: Duration = Duration::from_secs(1);

/// Writes an answer of our own: what is wrong as a header for programs and as a line of text for people.
pub(crate) fn write_refusal(out: &mut BytesMut, status: u16, failure: &Failure, head_only: bool) {
    let text = failure.to_string();
    let (reason, phrase) = (failure.reason(), reason_phrase(status));
    let length = text.len() + 1;
    let head = format!(
        "HTTP/1.1 {status} {phrase}\r\nx-raceway-error: {reason}\r\ncontent-type: text/plain; charset=utf-8\r\n\
         content-length: {length}\r\nconnection: close\r\n\r\n"
    );
    out.extend_from_slice(head.as_bytes());
    if !head_only {
        out.extend_from_slice(text.as_bytes());
        out.extend_from_slice(b"\n");
    }
}

/// Writes what there is, ends our side, and reads on for a moment: closing with unread bytes would send a reset,
/// which can take the answer away from the caller before it is read.
pub(crate) async fn close_politely(conn: &mut Conn) {
    let close = async {
        conn.flush().await?;
        std::future::poll_fn(|cx| conn.poll_end(cx)).await?;
        while conn.fill().await? > 0 {
            conn.input.clear();
        }
        io::Result::Ok(())
    };
    if let Ok(Err(error)) = tokio::time::timeout(LINGER, close).await {
        tracing::debug!(%error, "closing after an answer of our own");
    }
}
