//! Answers in the name of the sidecar.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, StatusCode, header, response};

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

/// The same over HTTP/2: fills in the head, and returns the body. To gRPC it is a status of its own.
pub(crate) fn fill_refusal(answer: &mut response::Parts, failure: &Failure, grpc: bool) -> Bytes {
    let text = failure.to_string();
    answer.headers.clear();
    answer.headers.insert("x-raceway-error", HeaderValue::from_static(failure.reason()));
    if grpc {
        // gRPC clients read the status of the call here (14 is UNAVAILABLE), not from the HTTP status.
        answer.status = StatusCode::OK;
        answer.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        answer.headers.insert("grpc-status", HeaderValue::from_static("14"));
        if let Ok(message) = HeaderValue::from_str(&text.replace('%', "%25")) {
            answer.headers.insert("grpc-message", message);
        }
        return Bytes::new();
    }
    let status = failure.status().and_then(|status| StatusCode::from_u16(status).ok());
    answer.status = status.unwrap_or(StatusCode::BAD_GATEWAY);
    answer.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    Bytes::from(text + "\n")
}

/// Writes what there is, ends our side, and reads on for a moment.
pub(crate) async fn close_politely(conn: &mut Conn) {
    finish(conn).await;
    linger(conn).await;
}

/// Writes what there is and ends our side. Then the answer has ended, though the connection has to [`linger`].
pub(crate) async fn finish(conn: &mut Conn) {
    within_a_moment(async {
        conn.flush().await?;
        std::future::poll_fn(|cx| conn.poll_end(cx)).await
    })
    .await;
}

/// Reads on for a moment: closing with unread bytes would send a reset, which can take the answer away from the caller
/// before it is read.
pub(crate) async fn linger(conn: &mut Conn) {
    within_a_moment(async {
        while conn.fill().await? > 0 {
            conn.input.clear();
        }
        Ok(())
    })
    .await;
}

async fn within_a_moment(closing: impl Future<Output = io::Result<()>>) {
    if let Ok(Err(error)) = tokio::time::timeout(LINGER, closing).await {
        tracing::debug!(%error, "closing while the caller still sends");
    }
}
