//! `tracestate`: every tracing system's own notes on a trace; ours says how sure we are of the path so far.

use crate::text::{split_once, trim};

/// The header's name.
pub const NAME: &str = "tracestate";

/// The key of our member.
pub const KEY: &str = "raceway";

/// More members than this make the header invalid, says the standard.
pub const MEMBERS_MAX: usize = 32;

/// What we pass on at most: the standard asks for at least that much, and the 4 KiB of all our headers need an end.
pub const BYTES_MAX: usize = 512;

/// Members longer than this go first when a value is too long, says the standard.
const MEMBER_LONG: usize = 128;

/// The members of one `tracestate`, newest first, borrowed from the header's lines.
///
/// ```text
/// raceway=m:c;p:9000,congo=t61rcWkgMzE       ≤ 32 members
/// └key    └value, ours: see [`Member`]
/// ```
///
/// W3C Trace Context level 2, section 3.3. Several lines are one list. Errors: see [`InvalidTracestate`].
///
/// ```
/// use raceway_trace::tracestate::{Member, Method, Probability, Tracestate};
///
/// let state = Tracestate::parse([&b"congo=t61rcWkgMzE"[..], b"raceway=m:h"])?;
/// assert_eq!(state.raceway().map(|ours| ours.method), Some(Method::Header));
///
/// let mut value = Vec::new();
/// state.write(Some(Member { method: Method::Sole, p: Probability::new(0.9) }), &mut value);
/// assert_eq!(value, b"raceway=m:s;p:9000,congo=t61rcWkgMzE");
/// # Ok::<(), raceway_trace::tracestate::InvalidTracestate>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tracestate<'a> {
    members: Vec<&'a [u8]>,
}

impl<'a> Tracestate<'a> {
    /// Reads the lines in the order in which they stand in the head.
    pub fn parse(lines: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, InvalidTracestate> {
        let mut members = Vec::new();
        for line in lines {
            for member in line.split(|&byte| byte == b',').map(trim) {
                if member.is_empty() {
                    continue;
                }
                let (key, value) = split_once(member, b'=').ok_or(InvalidTracestate::Shape)?;
                if !is_key(key) {
                    return Err(InvalidTracestate::Key);
                }
                if !is_value(value) {
                    return Err(InvalidTracestate::Value);
                }
                if members.len() == MEMBERS_MAX {
                    return Err(InvalidTracestate::Members);
                }
                members.push(member);
            }
        }
        Ok(Self { members })
    }

    /// `key=value` of every member, ours included.
    pub fn members(&self) -> impl ExactSizeIterator<Item = &'a [u8]> {
        self.members.iter().copied()
    }

    /// Whether there is no member at all.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// What the last sidecar on the path noted; `None` too where the note makes no sense.
    pub fn raceway(&self) -> Option<Member> {
        self.members.iter().find_map(|member| own_value(member)).and_then(Member::parse)
    }

    /// Appends the value to send: our member in front in place of our old one, and behind it the others as they came.
    /// Beyond 32 members or 512 bytes those over 128 bytes are left out, and then the oldest. Appends nothing if
    /// there is no member.
    pub fn write(&self, ours: Option<Member>, out: &mut Vec<u8>) {
        let start = out.len();
        if let Some(ours) = ours {
            ours.write(out);
        }
        let own_len = out.len() - start;
        let others = || {
            let others = self.members.iter().copied().filter(|member| own_value(member).is_none());
            others.take(MEMBERS_MAX - usize::from(ours.is_some()))
        };
        // With a comma before each, the first included if it stands alone.
        let len = own_len + others().map(|member| 1 + member.len()).sum::<usize>();
        let fits = len <= BYTES_MAX + usize::from(ours.is_none());
        for member in others().filter(|member| fits || member.len() <= MEMBER_LONG) {
            let comma = usize::from(out.len() > start);
            if out.len() - start + comma + member.len() > BYTES_MAX {
                break;
            }
            if comma > 0 {
                out.push(b',');
            }
            out.extend_from_slice(member);
        }
    }
}

/// Our note in `tracestate`: which rule made the last link of the path, and how sure the path is as a whole.
///
/// ```text
/// m:<h|c|p|t|s|b|r>;p:<0–9999>     p in 1/10000, left out where it is 1; other keys are passed over
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// How the sidecar that sent this found the request that caused it.
    pub method: Method,
    /// The product of the probabilities of all links of the path.
    pub p: Probability,
}

impl Member {
    fn parse(value: &[u8]) -> Option<Self> {
        let (mut method, mut p) = (None, Probability::CERTAIN);
        for part in value.split(|&byte| byte == b';') {
            match split_once(part, b':')? {
                (b"m", &[letter]) => method = Some(Method::from_letter(letter)?),
                (b"m", _) => return None,
                (b"p", digits) => p = Probability::parse(digits)?,
                _ => {}
            }
        }
        Some(Self { method: method?, p })
    }

    fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(KEY.as_bytes());
        out.extend_from_slice(b"=m:");
        out.push(self.method.letter());
        if self.p != Probability::CERTAIN {
            out.extend_from_slice(b";p:");
            crate::text::write_decimal(u64::from(self.p.0), out);
        }
    }
}

/// How an outbound call was found to belong to an inbound request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Method {
    /// The application forwarded a context: certain.
    Header,
    /// A carrier inside the application told the request: certain.
    Carrier,
    /// The process that called had one request: likely.
    Process,
    /// The thread that called had one request: likely.
    Thread,
    /// Exactly one request was in flight: likely.
    Sole,
    /// The model found it the best of several: likely.
    Bayes,
    /// Nothing: a trace begins here.
    Root,
}

impl Method {
    /// All methods, the surest first.
    pub const ALL: [Self; 7] =
        [Self::Header, Self::Carrier, Self::Process, Self::Thread, Self::Sole, Self::Bayes, Self::Root];

    /// The letter in `tracestate`.
    pub const fn letter(self) -> u8 {
        match self {
            Self::Header => b'h',
            Self::Carrier => b'c',
            Self::Process => b'p',
            Self::Thread => b't',
            Self::Sole => b's',
            Self::Bayes => b'b',
            Self::Root => b'r',
        }
    }

    /// The word in attributes and metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Carrier => "carrier",
            Self::Process => "process",
            Self::Thread => "thread",
            Self::Sole => "sole",
            Self::Bayes => "bayes",
            Self::Root => "root",
        }
    }

    /// The method of a letter.
    pub fn from_letter(letter: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.letter() == letter)
    }

    /// The method of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.word() == word)
    }

    /// Whether a link made so is proven: only a forwarded context and a carrier prove anything.
    pub const fn certain(self) -> bool {
        matches!(self, Self::Header | Self::Carrier)
    }
}

/// A probability in steps of 1/10000, as it stands on the wire.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Probability(u16);

impl Probability {
    /// 1.
    pub const CERTAIN: Self = Self(10_000);

    /// The nearest step; what is below 0 or not a number becomes 0, what is above 1 becomes 1.
    pub fn new(p: f64) -> Self {
        // The cast saturates, and takes NaN for 0.
        Self(((p * 10_000.0).round() as u16).min(Self::CERTAIN.0))
    }

    /// Between 0 and 1.
    pub fn get(self) -> f64 {
        f64::from(self.0) / 10_000.0
    }

    /// Both at once, rounded down: a path is never surer than its links.
    #[must_use]
    pub fn product(self, other: Self) -> Self {
        let product = u32::from(self.0) * u32::from(other.0) / u32::from(Self::CERTAIN.0);
        Self(u16::try_from(product).unwrap_or(Self::CERTAIN.0))
    }

    fn parse(digits: &[u8]) -> Option<Self> {
        if !matches!(digits.len(), 1..=4) {
            return None;
        }
        digits
            .iter()
            .try_fold(0u16, |p, digit| digit.is_ascii_digit().then(|| p * 10 + u16::from(digit - b'0')))
            .map(Self)
    }
}

impl std::fmt::Debug for Probability {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.get().fmt(f)
    }
}

reasons! {
    /// Why a `tracestate` counts as absent.
    InvalidTracestate {
        /// A member without `=`.
        Shape = "shape", "tracestate has a member that is not key=value";
        /// Not 1 to 256 of `a-z 0-9 _ - * / @`, beginning with a letter or digit.
        Key = "key", "tracestate has a member with an invalid key";
        /// Not 1 to 256 printable ASCII characters without `,` and `=`.
        Value = "value", "tracestate has a member with an invalid value";
        /// More than 32.
        Members = "members", "tracestate has more than 32 members";
    }
}

/// The value of our member, `None` for another's.
fn own_value(member: &[u8]) -> Option<&[u8]> {
    member.strip_prefix(KEY.as_bytes())?.strip_prefix(b"=")
}

fn is_key(key: &[u8]) -> bool {
    let starts_well = matches!(key.first(), Some(b'a'..=b'z' | b'0'..=b'9'));
    starts_well
        && key.len() <= 256
        && key.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/' | b'@'))
}

fn is_value(value: &[u8]) -> bool {
    let ends_well = matches!(value.last(), Some(0x21..=0x7e));
    ends_well
        && value.len() <= 256
        && value.iter().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b',' | b'='))
}
