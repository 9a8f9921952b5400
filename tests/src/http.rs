//! HTTP/1.1 byte by byte, for requests that no library would send.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::PATIENCE;

/// An answer, read until its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Names as they came, values without the space around them.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a header; of the first, if there are several.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// `GET path` with these header lines, on a connection of its own.
pub async fn get(to: SocketAddr, path: &str, headers: &[(&str, &[u8])]) -> Answer {
    let mut request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n").into_bytes();
    for (name, value) in headers {
        request.extend_from_slice(name.as_bytes());
        request.extend_from_slice(b": ");
        request.extend_from_slice(value);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    send(to, &request).await
}

/// Sends bytes and reads one answer. The request should ask for `Connection: close`.
pub async fn send(to: SocketAddr, request: &[u8]) -> Answer {
    try_send(to, request).await.expect("an answer")
}

/// Sends bytes and reads one answer; `None` if nobody listens, or the connection ends before the answer's head does.
pub async fn try_send(to: SocketAddr, request: &[u8]) -> Option<Answer> {
    let exchange = async {
        let mut stream = TcpStream::connect(to).await.ok()?;
        stream.write_all(request).await.ok()?;
        let mut answer = Vec::new();
        // A reset after the answer is no matter for the answer.
        while matches!(stream.read_buf(&mut answer).await, Ok(1..)) {}
        parse(&answer)
    };
    timeout(PATIENCE, exchange).await.expect("an answer in time")
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    let shown = String::from_utf8_lossy(bytes);
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let (head, body) = bytes.split_at(end);
    let head = String::from_utf8_lossy(head);
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    let body = body.get(4..).unwrap_or_default();
    let answer =
        Answer { status: status.unwrap_or_else(|| panic!("no status: {shown:?}")), headers, body: body.to_vec() };
    match answer.header("content-length").and_then(|length| length.parse::<usize>().ok()) {
        Some(length) => assert_eq!(answer.body.len(), length, "a body cut short: {shown:?}"),
        None => assert!(answer.header("transfer-encoding").is_none(), "chunked bodies are not read here: {shown:?}"),
    }
    Some(answer)
}
