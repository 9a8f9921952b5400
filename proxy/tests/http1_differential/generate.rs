//! Messages that are almost valid: a valid one, made from a seed, with some flaws from the books about smuggling.

/// A stream of random numbers that is the same on every machine (SplitMix64).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64, case: u64) -> Random {
        let mut random = Random(seed ^ case.wrapping_mul(0xd6e8_feb8_6659_fd93));
        random.next();
        random
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Less than `end`, which is not 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub(crate) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

/// What a smuggler would like to see taken for a message of its own.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\nX-Smuggled: 1\r\n\r\n";

const METHODS: [&str; 12] =
    ["GET", "GET", "POST", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH", "get", "M-SEARCH", "X!#$%&'*+-.^_`|~"];

const TARGETS: [&str; 24] = [
    "/",
    "/",
    "/path",
    "/path?q=1",
    "/a/b/../c",
    "//double//slash",
    "/%2e%2e/%00",
    "/a%20b",
    "/a;b=c,d",
    "/a?b?c=d&e",
    "/{a}",
    "/a|b^c`d",
    "/a\"<b>",
    "/a\\b",
    "/a[b]",
    "/\u{e4}",
    "/a:b@c",
    "/?a#b",
    "/a#b",
    "/http://b/",
    "*",
    "http://a/",
    "http://a",
    "http://a:80/path?q",
];

const HOSTS: [&str; 10] = ["a", "a", "a:80", "A.example", "a_b", "[::1]", "[::1]:80", "127.0.0.1:8080", "a:", "a.b."];

const NAMES: [&str; 12] = [
    "X-A",
    "x-a",
    "X-B",
    "X_C",
    "x.d",
    "!#$%&'*+-.^_`|~1",
    "Accept",
    "Cookie",
    "User-Agent",
    "X-Type",
    "Content_Length",
    "Transfer_Encoding",
];

const VALUES: [&str; 18] = [
    "1",
    "",
    "a b",
    "a  b",
    "a\tb",
    "a,b",
    "a;b",
    "a:b",
    "\"a\"",
    "\"a",
    "\\",
    "\u{80}\u{ff}",
    "chunked",
    "5",
    "close",
    "(comment)",
    "a value that is longer than sixteen or thirty-two bytes, and than sixty-four bytes too",
    "GET / HTTP/1.1",
];

/// Lines that say something about framing, the connection or the route, honestly or not.
const TRICKS: [&str; 58] = [
    "Content-Length: 0",
    "Content-Length: 5",
    "Content-Length: +5",
    "Content-Length: -5",
    "Content-Length: 5, 5",
    "Content-Length: 5,6",
    "Content-Length: 0x5",
    "Content-Length: 5 5",
    "Content-Length: 05",
    "Content-Length:\t5 ",
    "Content-Length: 5\u{b}",
    "Content-Length:",
    "Content-Length : 5",
    " Content-Length: 5",
    "Content-Length\u{0}: 5",
    "Content-Length: 99999999999999999999",
    "content-LENGTH: 6",
    "\rContent-Length: 5",
    "X: y\nContent-Length: 5",
    "X: y\rContent-Length: 5",
    "X:\r\n Content-Length: 5",
    "Transfer-Encoding: chunked",
    "transfer-encoding:chunked",
    "Transfer-Encoding: Chunked",
    "Transfer-Encoding: xchunked",
    "Transfer-Encoding: chunkedx",
    "Transfer-Encoding: chunked, chunked",
    "Transfer-Encoding: identity",
    "Transfer-Encoding: identity, chunked",
    "Transfer-Encoding: chunked, identity",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: \"chunked\"",
    "Transfer-Encoding: chunked;a=b",
    "Transfer-Encoding: ,chunked",
    "Transfer-Encoding: chunked,",
    "Transfer-Encoding:\u{b}chunked",
    "Transfer-Encoding: chunked\u{c}",
    "Transfer-Encoding:\tchunked\t",
    "Transfer-Encoding : chunked",
    " Transfer-Encoding: chunked",
    "Transfer-Encoding\t: chunked",
    "Transfer-Encoding:\r\n chunked",
    "X: y\nTransfer-Encoding: chunked",
    "X: y\rTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\rX: y",
    "\u{a0}Transfer-Encoding: chunked",
    "Host: b",
    "Host: a",
    "hOST:\ta",
    "Host : b",
    "X-Host: b\rHost: b",
    "Connection: close",
    "Connection: keep-alive",
    "Connection: close, x-a, content-length, transfer-encoding, host",
    "Connection: upgrade\r\nUpgrade: websocket",
    "Expect: 100-continue",
    "TE: trailers, gzip\r\nConnection: TE",
    "Keep-Alive: timeout=1\r\nProxy-Connection: close\r\nTrailer: x-sum",
];

/// How a chunk of five bytes may be announced. Most are wrong.
const SIZES: [&str; 32] = [
    "5",
    "5",
    "5",
    "05",
    "0000000000000005",
    "00000000000000000005",
    "5;a=b",
    "5;a=\"b;c\"",
    "5;",
    "5 ;a",
    "5\t; a = b ",
    "5;\u{80}",
    "5 ",
    " 5",
    "5\t",
    "+5",
    "-5",
    "0x5",
    "5x",
    "5,5",
    "5\u{b}",
    "5\u{0}",
    "5;a\n",
    "5\n",
    "5\r",
    "5;a\rb",
    "6",
    "4",
    "15",
    "100000005",
    "10000000000000005",
    "ffffffffffffffff",
];

const TRAILERS: [&str; 10] = [
    "X-Sum: 1",
    "x-sum:",
    "X-Sum : 1",
    " X-Sum: 1",
    "X-Sum",
    "Content-Length: 5",
    "Transfer-Encoding: chunked",
    "Host: b",
    "X-Sum: 1\nX-More: 2",
    "GET / HTTP/1.1",
];

/// Bytes on which readers disagree.
const BYTES: [u8; 22] = [
    b'\r', b'\n', b' ', b'\t', 0, 0x0b, 0x0c, 0x7f, 0x80, 0xa0, 0xff, b':', b';', b',', b'"', b'\\', b'/', b'0', b'5',
    b'#', b'+', b'x',
];

/// A stream of bytes as an attacker, or a poor client, might send it: one message, what follows it, and flaws.
pub(crate) fn request(random: &mut Random) -> Vec<u8> {
    let method = random.pick(&METHODS);
    let target = random.pick(&TARGETS);
    let version = if random.once_in(6) { "HTTP/1.0" } else { "HTTP/1.1" };
    let mut lines = vec![format!("Host: {}", if target.starts_with("http") { "a" } else { random.pick(&HOSTS) })];
    let body = framing(random, &mut lines, version == "HTTP/1.1");
    other_lines(random, &mut lines);
    let start = format!("{method} {target} {version}");
    finish(random, start, lines, &body)
}

/// The same from an application's side.
pub(crate) fn response(random: &mut Random) -> Vec<u8> {
    let status = random.pick(&[
        "200 OK",
        "200 OK",
        "200",
        "201 ",
        "404 Not Found",
        "500 \u{e9}\u{ff}",
        "204 No Content",
        "304 x",
        "299 a b",
    ]);
    let version = if random.once_in(6) { "HTTP/1.0" } else { "HTTP/1.1" };
    let mut lines = vec!["Server: demo".to_owned()];
    let body = framing(random, &mut lines, version == "HTTP/1.1");
    other_lines(random, &mut lines);
    finish(random, format!("{version} {status}"), lines, &body)
}

/// Puts in a line that says how the body is framed, and makes that body.
fn framing(random: &mut Random, lines: &mut Vec<String>, chunks: bool) -> String {
    let content = random.pick(&["", "hello", "0\r\n\r\n", "\r\n", SMUGGLED]);
    match random.below(4) {
        0 => String::new(),
        1 | 2 if chunks => {
            lines.push(random.pick(&["Transfer-Encoding: chunked", "transfer-encoding:Chunked"]).to_owned());
            let mut body = String::new();
            for _ in 0..random.below(4) {
                let size = if random.once_in(3) { random.pick(&SIZES) } else { "5" };
                let end = if random.once_in(20) { random.pick(&["\n", "\r", "", "\r\r\n", " \r\n"]) } else { "\r\n" };
                body += &format!("{size}\r\nhello{end}");
            }
            if !content.is_empty() && random.once_in(2) {
                body += &format!("{:x}\r\n{content}\r\n", content.len());
            }
            body +=
                random.pick(&["0\r\n", "0\r\n", "0\r\n", "0\r\n", "000\r\n", "0;a=b\r\n", "0\n", "0 \r\n", "-0\r\n"]);
            while random.once_in(4) {
                body += &format!("{}\r\n", if random.once_in(2) { "X-Sum: 1" } else { random.pick(&TRAILERS) });
            }
            body + "\r\n"
        }
        _ => {
            lines.push(format!("{}: {}", random.pick(&["Content-Length", "content-length"]), content.len()));
            content.to_owned()
        }
    }
}

fn other_lines(random: &mut Random, lines: &mut Vec<String>) {
    for _ in 0..random.below(5) {
        let space = random.pick(&[" ", " ", "", "\t", "  "]);
        let line =
            format!("{}:{space}{}{}", random.pick(&NAMES), random.pick(&VALUES), random.pick(&["", "", " ", "\t "]));
        lines.insert(random.below(lines.len() + 1), line);
    }
    // Half of the messages have nothing wrong with them up to here.
    while random.once_in(2) {
        lines.insert(random.below(lines.len() + 1), random.pick(&TRICKS).to_owned());
    }
}

fn finish(random: &mut Random, start: String, lines: Vec<String>, body: &str) -> Vec<u8> {
    let mut text = start + "\r\n";
    for line in lines {
        let end = if random.once_in(100) { random.pick(&["\n", "\r", "\r\r\n", "\n\r\n", "\r\n\r\n"]) } else { "\r\n" };
        text += &(line + end);
    }
    text += "\r\n";
    text += body;
    // Bytes for whoever believes in a longer body.
    if random.once_in(3) {
        text += SMUGGLED;
    }
    // Text holds Latin-1 here, so that lists of `str` can hold bytes from 0x80 up.
    let mut bytes: Vec<u8> = text.chars().map(|char| u8::try_from(u32::from(char)).expect("Latin-1")).collect();
    while random.once_in(3) {
        let at = random.below(bytes.len());
        match random.below(5) {
            0 => bytes[at] = BYTES[random.below(BYTES.len())],
            1 => bytes.insert(at, BYTES[random.below(BYTES.len())]),
            2 => drop(bytes.remove(at)),
            3 => bytes[at] ^= 1 << random.below(8),
            _ => {
                let from = random.below(bytes.len());
                let piece = bytes[from..bytes.len().min(from + random.below(20))].to_vec();
                bytes.splice(at..at, piece);
            }
        }
        if bytes.is_empty() {
            break;
        }
    }
    bytes
}
