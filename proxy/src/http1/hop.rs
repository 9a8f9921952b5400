//! What holds for one hop only: `Connection` and the fields it names, RFC 9110 §7.6.1.

use super::Version;
use super::fields::{Fields, Tag};
use super::framing::Kind;
use super::syntax::members;

impl Fields {
    /// See [`super::RequestHead::strip_hop_by_hop`].
    pub(super) fn strip_hop_by_hop(&mut self, kind: Kind, keep_upgrade: bool) {
        self.remove("proxy-connection");
        if kind == Kind::Request {
            self.remove("keep-alive");
        }
        if !keep_upgrade {
            self.remove("upgrade");
        }
        if self.first("te").is_some() {
            self.strip_te();
        }
        if self.first("connection").is_some() {
            self.strip_connection(keep_upgrade);
        }
    }

    fn strip_te(&mut self) {
        let is_trailers = |coding: &[u8]| coding.eq_ignore_ascii_case(b"trailers");
        if !self.all("te").flat_map(members).any(is_trailers) {
            self.remove("te");
        } else if !self.all("te").all(is_trailers) || self.all("te").count() > 1 {
            self.replace("TE", b"trailers");
        }
    }

    fn strip_connection(&mut self, keep_upgrade: bool) {
        let Fields { raw, lines, present, read_to, .. } = self;
        let mut kept = Options::default();
        let mut named = 0_usize;
        let connection = Tag::of(b"connection");
        // The list shrinks while it is walked, so it is walked by positions in it.
        let mut next = 0;
        while let Some(line) = lines.get(next).copied() {
            next += 1;
            if !line.is(raw, connection, b"connection") {
                continue;
            }
            for option in members(line.value.of(raw)) {
                named += 1;
                let tag = Tag::of(option);
                if kept.note(option) || *present & tag.bit() == 0 || is_protected(option) {
                    continue;
                }
                let walked = next;
                let mut index = 0;
                lines.retain(|line| {
                    // A peer cannot take away what we have put in.
                    let remove = line.from < *read_to && line.is(raw, tag, option);
                    next -= usize::from(remove && index < walked);
                    index += 1;
                    !remove
                });
            }
        }
        let te_there = self.first("te").is_some();
        let Options([_, _, (_, te), (_, upgrade), (_, settings)]) = &mut kept;
        *te &= te_there;
        *upgrade &= keep_upgrade;
        *settings &= keep_upgrade;
        if !*settings && !keep_upgrade {
            self.remove("http2-settings");
        }
        if kept.count() < named || named == 0 {
            self.set_connection(kept);
        }
    }

    /// Makes `Connection` say whether another message may follow on this connection. HTTP/1.0 readers take `close` for
    /// granted and have to be told `keep-alive`; the others take that for granted. A line that already says it is not
    /// touched.
    pub fn announce_persistence(&mut self, persistent: bool, reader: Version) {
        if self.first("connection").is_none() {
            match (persistent, reader) {
                (false, Version::Http10) => true,
                (false, Version::Http11) => self.push("Connection", b"close"),
                (true, Version::Http10) => self.push("Connection", b"keep-alive"),
                (true, Version::Http11) => true,
            };
        } else {
            let mut options = Options::default();
            for option in self.all("connection").flat_map(members) {
                options.note(option);
            }
            let Options([(_, close), (_, keep_alive), ..]) = &mut options;
            let said = (*close, *keep_alive);
            *close = !persistent;
            *keep_alive &= persistent;
            *keep_alive |= persistent && reader == Version::Http10;
            if said != (*close, *keep_alive) {
                self.set_connection(options);
            }
        }
        if !persistent {
            self.remove("keep-alive");
        }
    }

    fn set_connection(&mut self, options: Options) {
        if options.count() == 0 {
            self.remove("connection");
            return;
        }
        self.replace_with("Connection", |out| {
            for (name, _) in options.0.iter().filter(|(_, there)| *there) {
                if !out.is_empty() {
                    out.extend_from_slice(b", ");
                }
                out.extend_from_slice(name.as_bytes());
            }
        });
    }
}

/// The options of `Connection` that can be meant for the next hop too, and which of them are there.
#[derive(Clone, Copy)]
struct Options([(&'static str, bool); 5]);

impl Default for Options {
    fn default() -> Self {
        // The last one is half of the handshake of `Upgrade: h2c`.
        Options(["close", "keep-alive", "te", "upgrade", "http2-settings"].map(|name| (name, false)))
    }
}

impl Options {
    /// False where `option` is none of them.
    fn note(&mut self, option: &[u8]) -> bool {
        let known = self.0.iter_mut().find(|(name, _)| option.eq_ignore_ascii_case(name.as_bytes()));
        known.map(|(_, there)| *there = true).is_some()
    }

    fn count(self) -> usize {
        self.0.iter().filter(|(_, there)| *there).count()
    }
}

/// Fields that `Connection` cannot take away. Framing and routing: without them the message is another message.
/// Content and credentials: RFC 9110 §7.6.1 forbids to name what is meant for all recipients. Forwarding: what a
/// gateway in front of us vouched for, and applications decide by.
const PROTECTED: [&str; 15] = [
    "authorization",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "set-cookie",
    "trailer",
    "transfer-encoding",
    "x-real-ip",
];

/// `X-Forwarded-For`, `-Host`, `-Proto` and whatever else goes by that name.
const FORWARDED: &[u8] = b"x-forwarded-";

fn is_protected(name: &[u8]) -> bool {
    PROTECTED.iter().any(|protected| name.eq_ignore_ascii_case(protected.as_bytes()))
        || name.get(..FORWARDED.len()).is_some_and(|prefix| prefix.eq_ignore_ascii_case(FORWARDED))
}
