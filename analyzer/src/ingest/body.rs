//! Reading a request's body: bounded in size, in time, after decompression, and over all requests together.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::limits::{BODY_BYTES_MAX, DECOMPRESSED_BYTES_MAX};
use super::refusal::Refusal;

/// Bytes of bodies in memory, of all requests together; beyond it senders are told to come again. Twice the largest
/// request there may be, and some two hundred thousand spans.
const ALL_BODIES_BYTES_MAX: usize = 128 * 1024 * 1024;

/// The unit in which they are counted: a semaphore's permits are 32 bits.
const UNIT: usize = 1024;

/// A body that takes longer is given up: 16 MiB at 4 Mbit/s.
const READ_TIME_MAX: Duration = Duration::from_secs(30);

/// Requests that are being read give memory back quickly.
const BUSY_RETRY_AFTER: Duration = Duration::from_secs(1);

/// What is left of the memory for bodies.
#[derive(Clone)]
pub(super) struct Memory(Arc<Semaphore>);

/// A part of it, given back when dropped.
pub(super) struct Held {
    memory: Memory,
    permit: Option<OwnedSemaphorePermit>,
    bytes: usize,
}

impl Memory {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(ALL_BODIES_BYTES_MAX / UNIT)))
    }

    fn hold(&self) -> Held {
        Held { memory: self.clone(), permit: None, bytes: 0 }
    }
}

impl Held {
    /// Takes `bytes` more.
    fn grow(&mut self, bytes: usize) -> Result<(), Refusal> {
        let before = self.bytes.div_ceil(UNIT);
        self.bytes += bytes;
        let units = (self.bytes.div_ceil(UNIT) - before) as u32;
        let more = self.memory.0.clone().try_acquire_many_owned(units);
        let more = more.map_err(|_| Refusal::Busy(BUSY_RETRY_AFTER))?;
        match &mut self.permit {
            Some(permit) => permit.merge(more),
            None => self.permit = Some(more),
        }
        Ok(())
    }
}

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

impl Encoding {
    /// By the name in `content-encoding` or `grpc-encoding`.
    pub(super) fn from_name(name: Option<&http::HeaderValue>) -> Result<Self, Refusal> {
        let name = name.map(|name| name.as_bytes().trim_ascii().to_ascii_lowercase());
        match name.as_deref().unwrap_or_default() {
            b"" | b"identity" => Ok(Self::Identity),
            b"gzip" | b"x-gzip" => Ok(Self::Gzip),
            b"zstd" => Ok(Self::Zstd),
            other => Err(Refusal::UnknownEncoding(String::from_utf8_lossy(other).chars().take(80).collect())),
        }
    }
}

/// Reads a body as it comes.
pub(super) async fn read(body: Body, memory: &Memory) -> Result<(Vec<u8>, Held), Refusal> {
    match tokio::time::timeout(READ_TIME_MAX, read_all(body, memory)).await {
        Ok(read) => read,
        Err(_) => Err(Refusal::Gone(format!("not within {READ_TIME_MAX:?}"))),
    }
}

async fn read_all(mut body: Body, memory: &Memory) -> Result<(Vec<u8>, Held), Refusal> {
    let (mut bytes, mut held) = (Vec::new(), memory.hold());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Refusal::Gone(error.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > BODY_BYTES_MAX {
            return Err(Refusal::TooLarge(format!("a request may have {} MiB at most", BODY_BYTES_MAX >> 20)));
        }
        held.grow(data.len())?;
        bytes.extend_from_slice(&data);
    }
    Ok((bytes, held))
}

/// Does work on a body; on large ones beside the threads that serve everybody.
pub(super) async fn blocking_if_large<T: Send + 'static>(
    mut held: Held,
    work: impl FnOnce(&mut Held) -> Result<T, Refusal> + Send + 'static,
) -> Result<(T, Held), Refusal> {
    /// Decompressing and decoding this much takes about two milliseconds.
    const LARGE: usize = 256 * 1024;
    let large = held.bytes > LARGE;
    let work = move || Ok((work(&mut held)?, held));
    if !large {
        return work();
    }
    let worked = tokio::task::spawn_blocking(work).await;
    worked.map_err(|error| Refusal::Malformed(format!("the body could not be decoded: {error}"))).flatten()
}

/// Undoes the compression.
pub(super) fn decompress(bytes: Vec<u8>, encoding: Encoding, held: &mut Held) -> Result<Vec<u8>, Refusal> {
    /// Frames that need more memory than this to be read are beyond what any level below 20 writes.
    const ZSTD_WINDOW_LOG_MAX: u32 = 23;
    match encoding {
        Encoding::Identity => Ok(bytes),
        Encoding::Gzip => inflate(flate2::read::MultiGzDecoder::new(bytes.as_slice()), held),
        Encoding::Zstd => {
            let malformed = |error: std::io::Error| Refusal::Malformed(format!("the body is not zstd: {error}"));
            let mut decoder = zstd::stream::read::Decoder::with_buffer(bytes.as_slice()).map_err(malformed)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(malformed)?;
            inflate(decoder, held)
        }
    }
}

fn inflate(mut from: impl Read, held: &mut Held) -> Result<Vec<u8>, Refusal> {
    /// Read in such steps, so that what is claimed but not there costs nothing.
    const STEP: usize = 256 * 1024;
    let mut inflated = Vec::new();
    loop {
        let before = inflated.len();
        from.by_ref()
            .take(STEP as u64)
            .read_to_end(&mut inflated)
            .map_err(|error| Refusal::Malformed(format!("the body cannot be decompressed: {error}")))?;
        if inflated.len() == before {
            return Ok(inflated);
        }
        if inflated.len() > DECOMPRESSED_BYTES_MAX {
            let most = DECOMPRESSED_BYTES_MAX >> 20;
            return Err(Refusal::TooLarge(format!("a request may have {most} MiB at most after decompression")));
        }
        held.grow(inflated.len() - before)?;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn what_was_compressed_comes_back() {
        let text = "span ".repeat(1000).into_bytes();
        for (encoding, bytes) in [
            (Encoding::Identity, text.clone()),
            (Encoding::Gzip, gzip(&text)),
            (Encoding::Zstd, zstd::encode_all(text.as_slice(), 3).unwrap()),
        ] {
            assert_eq!(decompress(bytes, encoding, &mut Memory::new().hold()).unwrap(), text, "{encoding:?}");
        }
    }

    #[test]
    fn bombs_are_refused_before_they_fill_the_memory() {
        let bomb = vec![0; DECOMPRESSED_BYTES_MAX + 1];
        for (encoding, bytes) in [(Encoding::Gzip, gzip(&bomb)), (Encoding::Zstd, zstd::encode_all(&*bomb, 1).unwrap())]
        {
            assert!(bytes.len() < BODY_BYTES_MAX / 8);
            let refused = decompress(bytes, encoding, &mut Memory::new().hold());
            assert!(matches!(refused, Err(Refusal::TooLarge(_))), "{encoding:?}");
        }
    }

    #[test]
    fn noise_is_malformed() {
        for encoding in [Encoding::Gzip, Encoding::Zstd] {
            let refused = decompress(b"noise".to_vec(), encoding, &mut Memory::new().hold());
            assert!(matches!(refused, Err(Refusal::Malformed(_))), "{encoding:?}");
            let mut cut =
                if encoding == Encoding::Gzip { gzip(b"span") } else { zstd::encode_all(&b"span"[..], 3).unwrap() };
            cut.truncate(cut.len() - 2);
            assert!(decompress(cut, encoding, &mut Memory::new().hold()).is_err(), "{encoding:?}");
        }
    }

    #[tokio::test]
    async fn memory_is_shared_and_given_back() {
        let memory = Memory::new();
        let mut first = memory.hold();
        first.grow(ALL_BODIES_BYTES_MAX - 10).unwrap();
        let refused = read(Body::from(vec![0; 2 * UNIT]), &memory).await.map(|(bytes, _)| bytes.len());
        assert!(matches!(refused, Err(Refusal::Busy(_))));
        drop(first);
        assert_eq!(read(Body::from(vec![0; 2 * UNIT]), &memory).await.unwrap().0.len(), 2 * UNIT);
        assert_eq!(memory.0.available_permits(), ALL_BODIES_BYTES_MAX / UNIT);
    }

    #[tokio::test]
    async fn a_body_has_a_most() {
        let refused = read(Body::from(vec![0; BODY_BYTES_MAX + 1]), &Memory::new()).await.map(|_| ());
        assert!(matches!(refused, Err(Refusal::TooLarge(_))));
    }
}
