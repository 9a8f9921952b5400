//! Properties: however bytes arrive the result is the same; what is written can be read again; edits change only what
//! they are asked to.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

/// Pieces of heads and bodies, valid and not, from which texts that get past the first checks are made.
const PIECES: [&str; 60] = [
    "GET",
    "POST",
    "HEAD",
    "CONNECT",
    " ",
    "  ",
    "\t",
    "/",
    "/path?q",
    "*",
    "http://a/",
    "a:80",
    "HTTP/1.1",
    "HTTP/1.0",
    "HTTP/2.0",
    "200",
    "204",
    "304",
    "100",
    "OK",
    "\r\n",
    "\r\n",
    "\r\n",
    "\r\n",
    "\r\n\r\n",
    "\n",
    "\r",
    "\0",
    ":",
    ": ",
    "Host: a\r\n",
    "host:",
    "Content-Length: 5\r\n",
    "content-length:",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding:",
    "chunked",
    "Connection: close\r\n",
    "Connection: ",
    "keep-alive",
    "upgrade",
    "x-a, x-b",
    "X-A: 1\r\n",
    "X-B: 2\r\n",
    "X-a:",
    "Upgrade: websocket\r\n",
    "Expect: 100-continue\r\n",
    "TE: trailers\r\n",
    "5",
    "0",
    "5\r\nhello\r\n",
    "0\r\n\r\n",
    ";ext",
    "=",
    "\"",
    ",",
    "ffffffffffffffff",
    "+",
    "\u{80}",
    "hello",
];

fn from_pieces() -> impl Strategy<Value = Vec<u8>> {
    vec(select(&PIECES[..]), 0..30).prop_map(|pieces| pieces.concat().into_bytes())
}

/// Mostly valid requests, sometimes with one byte changed, dropped or doubled.
fn near_valid(valid: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    (valid, any::<prop::sample::Index>(), any::<u8>(), 0..5).prop_map(|(mut bytes, at, byte, mutation)| {
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            match mutation {
                0 => bytes[at] = byte,
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, bytes[at]),
                _ => {}
            }
        }
        bytes
    })
}

fn line() -> impl Strategy<Value = (String, String)> {
    let name =
        select(&["Accept", "accept", "X-A", "x-a", "x-b", "X-C", "Baggage", "Connection", "TE", "Keep-Alive"][..]);
    (name, "[ \t]{0,2}([!-~\u{e4}]([ -~]{0,20}[!-~])?)?[ \t]{0,2}").prop_map(|(name, value)| (name.to_owned(), value))
}

fn valid_request() -> impl Strategy<Value = Vec<u8>> {
    let framing = select(&["", "Content-Length: 7\r\n", "Transfer-Encoding: chunked\r\n"][..]);
    (vec(line(), 0..8), framing, vec(line(), 0..4)).prop_map(|(before, framing, after)| {
        let lines = |lines: Vec<(String, String)>| -> String {
            lines.into_iter().map(|(name, value)| format!("{name}:{value}\r\n")).collect()
        };
        format!("POST /path HTTP/1.1\r\n{}{framing}Host: a\r\n{}\r\n", lines(before), lines(after)).into_bytes()
    })
}

fn chunked_body() -> impl Strategy<Value = Vec<u8>> {
    let chunk = (vec(any::<u8>(), 1..40), "(;[a-z]{0,5}(=\"[ -~&&[^\"]]{0,5}\")?)?", any::<bool>());
    (vec(chunk, 0..6), vec(select(&["X-Sum: 1\r\n", "y:\r\n"][..]), 0..3)).prop_map(|(chunks, trailers)| {
        let mut bytes = Vec::new();
        for (data, extension, upper) in chunks {
            let size = if upper { format!("{:X}", data.len()) } else { format!("0{:x}", data.len()) };
            bytes.extend_from_slice(format!("{size}{extension}\r\n").as_bytes());
            bytes.extend_from_slice(&data);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(format!("0\r\n{}\r\n", trailers.concat()).as_bytes());
        bytes
    })
}

fn heads() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(any::<u8>(), 0..100), from_pieces(), near_valid(valid_request())]
}

/// An edit of a head, and the same on a list of whole lines.
#[derive(Clone, Debug)]
enum Edit {
    Push(String, String),
    Replace(String, String),
    Remove(String),
}

fn edit() -> impl Strategy<Value = Edit> {
    let name = || select(&["x-a", "X-B", "accept", "ACCEPT", "new", "baggage"][..]).prop_map(str::to_owned);
    prop_oneof![
        (name(), "[!-~]{0,9}").prop_map(|(name, value)| Edit::Push(name, value)),
        (name(), "[!-~]{0,9}").prop_map(|(name, value)| Edit::Replace(name, value)),
        name().prop_map(Edit::Remove),
    ]
}

impl Edit {
    fn apply(&self, head: &mut RequestHead) {
        let before = head.len();
        match self {
            Edit::Push(name, value) => assert!(head.push(name, value.as_bytes())),
            Edit::Replace(name, value) => assert!(head.replace(name, value.as_bytes())),
            Edit::Remove(name) => assert_eq!(head.remove(name), before - head.len()),
        }
    }

    /// The same on lines, each with its name.
    fn apply_to(&self, lines: &mut Vec<(String, Vec<u8>)>) {
        let (Edit::Push(name, value) | Edit::Replace(name, value)) = self else {
            let Edit::Remove(name) = self else { unreachable!() };
            lines.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
            return;
        };
        let new = (name.clone(), format!("{name}: {value}\r\n").into_bytes());
        let place = lines.iter().position(|(other, _)| other.eq_ignore_ascii_case(name));
        match (self, place) {
            (Edit::Replace(..), Some(place)) => {
                lines.retain({
                    let mut index = 0;
                    move |(other, _)| {
                        index += 1;
                        index - 1 == place || !other.eq_ignore_ascii_case(name)
                    }
                });
                lines[place] = new;
            }
            _ => lines.push(new),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn requests_are_the_same_however_they_arrive(bytes in heads(), mut cuts in vec(0_usize..200, 0..6), small: bool) {
        cuts.sort_unstable();
        let limits = if small { Limits { head_bytes: 60, fields: 3 } } else { Limits::default() };
        let seen = |cuts: &[usize]| {
            request_in_pieces(&bytes, cuts, &limits)
                .map(|head| head.map(|(head, left)| (head.raw().to_vec(), head.framing(), head.persistent(), left)))
        };
        prop_assert_eq!(seen(&cuts), seen(&[]));
    }

    #[test]
    fn responses_are_the_same_however_they_arrive(bytes in heads(), mut cuts in vec(0_usize..200, 0..6)) {
        cuts.sort_unstable();
        let mut bytes = bytes;
        if bytes.starts_with(b"POST /path") {
            bytes.splice(..19, *b"HTTP/1.1 200 OK");
        }
        let seen = |cuts: &[usize]| {
            response_in_pieces(&bytes, cuts, &Limits::default(), "GET")
                .map(|head| head.map(|(head, left)| (head.raw().to_vec(), head.framing(), head.status(), left)))
        };
        prop_assert_eq!(seen(&cuts), seen(&[]));
    }

    #[test]
    fn what_is_written_can_be_read_again(bytes in heads()) {
        if let Ok(Some((head, left))) = request_in_pieces(&bytes, &[], &Limits::default()) {
            let out = written(&head).chars().map(|char| char as u8).collect::<Vec<_>>();
            let taken = &bytes[..bytes.len() - left.len()];
            prop_assert_eq!(&out, taken.strip_prefix(b"\r\n").unwrap_or(taken));
            let again = request(&out).expect("as valid as before");
            prop_assert_eq!(again.framing(), head.framing());
            prop_assert!(again.iter().eq(head.iter()));
        }
    }

    #[test]
    fn edits_change_what_they_are_asked_to(bytes in valid_request(), edits in vec(edit(), 0..6)) {
        let mut head = request(&bytes).expect("valid");
        let text: Vec<&[u8]> = bytes.split_inclusive(|&byte| byte == b'\n').collect();
        let (start, lines) = text.split_first().expect("a start line");
        let mut model: Vec<(String, Vec<u8>)> = lines[..lines.len() - 1]
            .iter()
            .map(|line| {
                let name = line.split(|&byte| byte == b':').next().expect("a name");
                (String::from_utf8(name.to_vec()).expect("ASCII"), line.to_vec())
            })
            .collect();
        for edit in &edits {
            edit.apply(&mut head);
            edit.apply_to(&mut model);
        }
        let mut out = BytesMut::new();
        head.write(&mut out);
        let expected = [start.to_vec(), model.into_iter().flat_map(|(_, line)| line).collect(), b"\r\n".to_vec()].concat();
        prop_assert_eq!(&out[..], &expected[..]);
        let again = request(&out).expect("still valid");
        prop_assert!(again.iter().eq(head.iter()), "lookups see what is written");
    }

    #[test]
    fn stripping_leaves_a_head_with_the_same_framing(bytes in near_valid(valid_request()), keep: bool) {
        if let Ok(Some((mut head, _))) = request_in_pieces(&bytes, &[], &Limits::default()) {
            let (framing, persistent, version) = (head.framing(), head.persistent(), head.version());
            head.strip_hop_by_hop(keep);
            head.announce_persistence(persistent, version);
            let again = request(&written(&head).chars().map(|char| char as u8).collect::<Vec<_>>()).expect("still valid");
            prop_assert_eq!((again.framing(), again.persistent()), (framing, persistent));
            let stripped = written(&head);
            head.strip_hop_by_hop(keep);
            prop_assert_eq!(written(&head), stripped, "once is enough");
        }
    }

    #[test]
    fn bodies_are_the_same_however_they_arrive(
        bytes in prop_oneof![vec(any::<u8>(), 0..60), from_pieces(), near_valid(chunked_body())],
        mut cuts in vec(0_usize..200, 0..6),
        framing in select(&[Framing::Chunked, Framing::Chunked, Framing::Length(20), Framing::UntilClose][..]),
    ) {
        cuts.sort_unstable();
        let limits = Limits::default();
        match (pass(framing, limits, &bytes, &cuts), pass(framing, limits, &bytes, &[])) {
            (Ok(passed), Ok(same)) => {
                prop_assert_eq!(&passed, &same);
                if passed.done && framing == Framing::Chunked {
                    let again = pass(framing, limits, &passed.out, &[]).expect("what goes on is valid");
                    prop_assert_eq!(&again.out, &passed.out, "and has nothing left to drop");
                    prop_assert_eq!((again.payload, again.done), (passed.payload, true));
                }
            }
            (Err((error, _)), Err((same, _))) => prop_assert_eq!(error, same),
            (pieces, at_once) => prop_assert!(false, "{:?} but {:?}", pieces, at_once),
        }
    }

    #[test]
    fn all_of_a_chunked_body_goes_on(bytes in chunked_body()) {
        let passed = pass(Framing::Chunked, Limits::default(), &bytes, &[]).expect("valid");
        prop_assert!(passed.done && passed.left.is_empty());
    }
}
