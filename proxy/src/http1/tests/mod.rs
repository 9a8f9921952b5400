//! The codec against bytes: tables whose rows are a valid message with one flaw, and properties.

mod bodies;
mod edits;
mod properties;
mod requests;
mod responses;

use bytes::BytesMut;

use super::{Body, BodyError, Framing, HeadError, Limits, RequestHead, ResponseHead, Step};

/// A request whose parts the tables replace by flawed ones.
const REQUEST: &str = "POST /path?q=1 HTTP/1.1\r\nHost: example.com\r\nX-First: one\r\nContent-Length: 5\r\n\r\n";

/// Likewise, with chunks.
const CHUNKED: &str = "POST /path HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\nX-First: one\r\n\r\n";

const RESPONSE: &str = "HTTP/1.1 200 OK\r\nServer: demo\r\nContent-Length: 5\r\n\r\n";

/// `valid` with the one place `from` replaced.
fn flawed(valid: &str, from: &str, to: &str) -> Vec<u8> {
    assert_eq!(valid.matches(from).count(), 1, "{from:?} must stand once in {valid:?}");
    // One char is one byte here, so that rows can hold bytes from 0x80 up.
    valid.replacen(from, to, 1).chars().map(|char| u8::try_from(char).expect("rows hold Latin-1")).collect()
}

/// Reads a request that arrives in pieces ending at `cuts`; none where it is not all there.
fn request_in_pieces(
    bytes: &[u8],
    cuts: &[usize],
    limits: &Limits,
) -> Result<Option<(RequestHead, Vec<u8>)>, HeadError> {
    let mut head = RequestHead::default();
    let left = in_pieces(bytes, cuts, |input| head.read(input, limits))?;
    Ok(left.map(|left| (head, left)))
}

fn response_in_pieces(
    bytes: &[u8],
    cuts: &[usize],
    limits: &Limits,
    method: &str,
) -> Result<Option<(ResponseHead, Vec<u8>)>, HeadError> {
    let mut head = ResponseHead::default();
    let left = in_pieces(bytes, cuts, |input| head.read(input, limits, method))?;
    Ok(left.map(|left| (head, left)))
}

/// Feeds `bytes` piece by piece; what was left over once a head was complete, with what had not been fed yet.
fn in_pieces(
    bytes: &[u8],
    cuts: &[usize],
    mut read: impl FnMut(&mut BytesMut) -> Result<bool, HeadError>,
) -> Result<Option<Vec<u8>>, HeadError> {
    let mut input = BytesMut::new();
    let mut fed = 0;
    for cut in cuts.iter().copied().chain([bytes.len()]) {
        let cut = cut.clamp(fed, bytes.len());
        input.extend_from_slice(&bytes[fed..cut]);
        fed = cut;
        if read(&mut input)? {
            return Ok(Some([&input, &bytes[fed..]].concat()));
        }
    }
    Ok(None)
}

/// Reads a request in one go and byte by byte, which must make no difference.
fn request(bytes: &[u8]) -> Result<RequestHead, HeadError> {
    request_with(bytes, &Limits::default())
}

fn request_with(bytes: &[u8], limits: &Limits) -> Result<RequestHead, HeadError> {
    let cuts: Vec<usize> = (0..bytes.len()).collect();
    let slowly = request_in_pieces(bytes, &cuts, limits);
    let at_once = request_in_pieces(bytes, &[], limits);
    match (at_once, slowly) {
        (Err(error), Err(same)) => {
            assert_eq!(error, same);
            Err(error)
        }
        (Ok(Some((head, left))), Ok(Some((same, same_left)))) => {
            assert_eq!((head.raw(), &left), (same.raw(), &same_left));
            Ok(head)
        }
        (at_once, slowly) => panic!("{:?}: {at_once:?} but {slowly:?}", bytes.escape_ascii().to_string()),
    }
}

fn response(bytes: &[u8], method: &str) -> Result<ResponseHead, HeadError> {
    let cuts: Vec<usize> = (0..bytes.len()).collect();
    let limits = Limits::default();
    let slowly =
        response_in_pieces(bytes, &cuts, &limits, method).map(|head| head.map(|(head, _)| head.raw().to_vec()));
    let head = response_in_pieces(bytes, &[], &limits, method)?.expect("a whole head").0;
    assert_eq!(slowly, Ok(Some(head.raw().to_vec())));
    Ok(head)
}

fn written(head: &super::Fields) -> String {
    let mut out = BytesMut::new();
    head.write(&mut out);
    out.iter().map(|&byte| char::from(byte)).collect()
}

/// What a body came to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Passed {
    /// What went on.
    out: Vec<u8>,
    /// What was there beyond the end.
    left: Vec<u8>,
    payload: u64,
    done: bool,
}

/// Sends `bytes` through a body in pieces ending at `cuts`. After an error: what had gone on until then.
fn pass(framing: Framing, limits: Limits, bytes: &[u8], cuts: &[usize]) -> Result<Passed, (BodyError, Vec<u8>)> {
    let mut body = Body::with_limits(framing, limits);
    let mut passed = Passed::default();
    let mut input: Vec<u8> = Vec::new();
    let mut fed = 0;
    for cut in cuts.iter().copied().chain([bytes.len()]) {
        let cut = cut.clamp(fed, bytes.len());
        input.extend_from_slice(&bytes[fed..cut]);
        fed = cut;
        loop {
            match body.step(&input).map_err(|error| (error, passed.out.clone()))? {
                Step::Forward(size) => {
                    assert!(size > 0);
                    passed.out.extend(input.drain(..size));
                }
                Step::Skip(size) => {
                    assert!(size > 0);
                    input.drain(..size);
                }
                Step::More => break,
                Step::End => {
                    assert!(body.is_done());
                    input.extend_from_slice(&bytes[fed..]);
                    fed = bytes.len();
                    break;
                }
            }
        }
        assert!(body.is_done() || input.len() < limits.head_bytes.max(1 << 10), "more than a line is left undecided");
    }
    Ok(Passed { left: input, payload: body.payload(), done: body.is_done(), ..passed })
}
