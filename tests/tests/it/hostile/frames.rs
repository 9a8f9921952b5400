//! HTTP/2 frame by frame, for what no library would send.

use std::net::SocketAddr;
use std::time::Duration;

use raceway_tests::PATIENCE;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

/// RFC 9113, section 4.1.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("small").to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A header block of literals that are not indexed (RFC 7541, section 6.2.2).
pub(super) fn block(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for text in [name.as_bytes(), value] {
            // Lengths below 127 stand in one byte, others in a few more.
            if text.len() < 127 {
                bytes.push(text.len() as u8);
            } else {
                bytes.push(127);
                let mut rest = text.len() - 127;
                while rest >= 128 {
                    bytes.push((rest % 128) as u8 | 128);
                    rest /= 128;
                }
                bytes.push(rest as u8);
            }
            bytes.extend_from_slice(text);
        }
    }
    bytes
}

/// `GET path`.
pub(super) fn get(path: &str) -> Vec<u8> {
    block(&[(":method", b"GET"), (":scheme", b"http"), (":authority", b"app"), (":path", path.as_bytes())])
}

/// What a server said.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Frames: kind, stream, payload.
    pub(super) frames: Vec<(u8, u32, Vec<u8>)>,
    pub(super) closed: bool,
}

impl Heard {
    /// The code of RST_STREAM on this stream.
    pub(super) fn reset(&self, stream: u32) -> Option<u8> {
        self.frames.iter().find(|frame| frame.0 == RST_STREAM && frame.1 == stream)?.2.get(3).copied()
    }

    /// The code of a GOAWAY that is no graceful one.
    pub(super) fn goaway(&self) -> Option<u8> {
        let mut codes =
            self.frames.iter().filter(|frame| frame.0 == GOAWAY).filter_map(|frame| frame.2.get(7).copied());
        codes.find(|code| *code != 0)
    }

    /// The content that came on this stream.
    pub(super) fn content(&self, stream: u32) -> Vec<u8> {
        let pieces = self.frames.iter().filter(|frame| frame.0 == DATA && frame.1 == stream);
        pieces.flat_map(|frame| frame.2.clone()).collect()
    }

    pub(super) fn answered(&self, stream: u32) -> bool {
        self.frames.iter().any(|frame| frame.0 == HEADERS && frame.1 == stream)
    }
}

/// A connection on which the preface and the settings have been sent.
pub(super) async fn connect(to: SocketAddr, settings: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(to).await.expect("it listens");
    let preface = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(SETTINGS, 0, 0, settings)].concat();
    stream.write_all(&preface).await.expect("it reads");
    stream
}

/// Listens until `enough`, the end of the connection, or long silence. Pings and settings are acknowledged.
pub(super) async fn listen(stream: &mut TcpStream, enough: impl Fn(&Heard) -> bool) -> Heard {
    let (mut heard, mut input) = (Heard::default(), Vec::new());
    loop {
        while let Some((head, rest)) = input.split_first_chunk::<9>() {
            let head: &[u8; 9] = head;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let Some(payload) = rest.get(..length) else { break };
            let (kind, flags) = (head[3], head[4]);
            let on = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            if matches!(kind, SETTINGS | PING) && flags & 1 == 0 {
                let echo = if kind == PING { payload.to_vec() } else { Vec::new() };
                // It may have closed by now.
                let _ = stream.write_all(&frame(kind, 1, 0, &echo)).await;
            }
            heard.frames.push((kind, on, payload.to_vec()));
            input.drain(..9 + length);
        }
        if enough(&heard) {
            return heard;
        }
        match timeout(PATIENCE.min(Duration::from_secs(10)), stream.read_buf(&mut input)).await {
            Ok(Ok(1..)) => {}
            Ok(_) => {
                heard.closed = true;
                return heard;
            }
            Err(_) => return heard,
        }
    }
}
