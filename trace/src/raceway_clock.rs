//! `raceway-clock`: ids, caller and vector clock of a message, in the form that the Raceway SDKs speak.

use crate::base64url;
use crate::clock::VectorClock;
use crate::json::{Charset, Reader, write_string};
use crate::text::{decimal_len, trim, write_decimal, write_span_id};
use crate::{SpanId, TraceId};

/// The header's name.
pub const NAME: &str = "raceway-clock";

const VERSION: &[u8] = b"v1;";

/// The longest value that is read: 128 entries with the longest names, and as much again, since an SDK's clock has no
/// bound.
pub const LEN_MAX: usize = 48 * 1024;

/// What a `raceway-clock` says. The caller mints the callee's span id.
///
/// ```text
/// v1;eyJ0cmFjZV9pZCI6…        unpadded base64url of
/// {"trace_id":"<uuid>","span_id":"<16 hex>","parent_span_id":"<16 hex or null>",
///  "service":"…","instance":"…","clock":[["svc#inst~1",3],…],"elided":2}
/// ```
///
/// Unknown keys are passed over. Entries of the clock that make no sense (zero, negative, `NaN`, null, …) count as
/// absent and are never fatal. Errors: see [`InvalidRacewayClock`].
///
/// ```
/// use raceway_trace::clock::{Component, Strand};
/// use raceway_trace::raceway_clock::{RacewayClock, RacewayClockRef};
/// use raceway_trace::{SpanId, TraceId};
///
/// let strand = Strand::receive(Component::strand("api", "pod-1", 1), None, None, "api");
/// let mut value = Vec::new();
/// let elided = RacewayClockRef {
///     trace_id: TraceId::new(7).expect("not zero"),
///     span_id: SpanId::new(8).expect("not zero"),
///     parent_span_id: None,
///     service: "api",
///     instance: "pod-1",
///     clock: strand.clock(),
/// }
/// .write(4096, &mut value);
/// assert_eq!(elided, Some(0));
///
/// let read = RacewayClock::parse(&value)?;
/// assert_eq!((read.service.as_str(), read.clock.get("api#pod-1~1")), ("api", Some(1)));
/// # Ok::<(), raceway_trace::raceway_clock::InvalidRacewayClock>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RacewayClock {
    /// The id that all spans of one request share.
    pub trace_id: TraceId,
    /// On a request the id that the caller minted for the callee's span, on a response the callee's span.
    pub span_id: SpanId,
    /// The caller's own span.
    pub parent_span_id: Option<SpanId>,
    /// The sender's service name; empty where it sent none.
    pub service: String,
    /// The sender's instance; empty where it sent none.
    pub instance: String,
    /// What the sender knows, and how many entries it left out ([`VectorClock::elided`]).
    pub clock: VectorClock,
}

/// The fields of a [`RacewayClock`] to write, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct RacewayClockRef<'a> {
    /// See [`RacewayClock::trace_id`].
    pub trace_id: TraceId,
    /// See [`RacewayClock::span_id`].
    pub span_id: SpanId,
    /// See [`RacewayClock::parent_span_id`].
    pub parent_span_id: Option<SpanId>,
    /// See [`RacewayClock::service`].
    pub service: &'a str,
    /// See [`RacewayClock::instance`].
    pub instance: &'a str,
    /// See [`RacewayClock::clock`].
    pub clock: &'a VectorClock,
}

impl RacewayClock {
    /// Reads the header's value.
    pub fn parse(value: &[u8]) -> Result<Self, InvalidRacewayClock> {
        use InvalidRacewayClock as Invalid;
        let value = trim(value);
        if value.len() > LEN_MAX {
            return Err(Invalid::Length);
        }
        let encoded = value.strip_prefix(VERSION).ok_or(Invalid::Version)?;
        let mut json = Vec::new();
        base64url::decode(encoded, &mut json).ok_or(Invalid::Base64)?;
        let fields = Fields::read(&json).ok_or(Invalid::Json)?;
        Ok(Self {
            trace_id: fields.trace_id.ok_or(Invalid::TraceId)?,
            span_id: fields.span_id.ok_or(Invalid::SpanId)?,
            parent_span_id: fields.parent_span_id,
            service: fields.service,
            instance: fields.instance,
            clock: fields.clock,
        })
    }

    /// The fields to write.
    pub fn as_ref(&self) -> RacewayClockRef<'_> {
        let Self { trace_id, span_id, parent_span_id, service, instance, clock } = self;
        RacewayClockRef {
            trace_id: *trace_id,
            span_id: *span_id,
            parent_span_id: *parent_span_id,
            service,
            instance,
            clock,
        }
    }
}

impl RacewayClockRef<'_> {
    /// Appends the value to send in at most `room` bytes, and returns how many entries of the clock were left out for
    /// that, the foremost first. `None`, with nothing appended, where not even the last entry fits.
    pub fn write(&self, room: usize, out: &mut Vec<u8>) -> Option<u32> {
        let start = out.len();
        out.extend_from_slice(VERSION);
        let json_start = out.len();
        self.write_json(0, out);
        let json_room = base64url::decoded_len(room.saturating_sub(VERSION.len()));
        let json_len = out.len() - json_start;
        let mut skipped = 0;
        if json_len > json_room {
            skipped = self.skip(json_len, json_room).or_else(|| {
                out.truncate(start);
                None
            })?;
            out.truncate(json_start);
            self.write_json(skipped, out);
        }
        base64url::encode_tail(out, json_start);
        Some(u32::try_from(skipped).unwrap_or(u32::MAX))
    }

    /// How many of the foremost entries must go for `json_len` bytes to fit into `json_room`.
    fn skip(&self, mut json_len: usize, json_room: usize) -> Option<usize> {
        if self.clock.elided() == 0 {
            json_len += r#","elided":"#.len();
        } else {
            json_len -= decimal_len(u64::from(self.clock.elided()));
        }
        // As wide as it can get.
        json_len += decimal_len(self.elided(self.clock.len()));
        let mut skipped = 0;
        for len in self.clock.entry_lens().take(self.clock.len().saturating_sub(1)) {
            if json_len <= json_room {
                break;
            }
            json_len -= len;
            skipped += 1;
        }
        (json_len <= json_room).then_some(skipped)
    }

    /// How many entries are missing in all if `skipped` are left out here.
    fn elided(&self, skipped: usize) -> u64 {
        u64::from(self.clock.elided()).saturating_add(skipped as u64)
    }

    fn write_json(&self, skipped: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"trace_id":""#);
        out.extend_from_slice(&self.trace_id.to_uuid());
        out.extend_from_slice(br#"","span_id":""#);
        write_span_id(self.span_id, out);
        out.extend_from_slice(br#"","parent_span_id":"#);
        match self.parent_span_id {
            Some(parent) => {
                out.push(b'"');
                write_span_id(parent, out);
                out.push(b'"');
            }
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(br#","service":"#);
        write_string(self.service, Charset::Utf8, out);
        out.extend_from_slice(br#","instance":"#);
        write_string(self.instance, Charset::Utf8, out);
        out.extend_from_slice(br#","clock":"#);
        self.clock.write_entries(skipped, out);
        let elided = self.elided(skipped);
        if elided > 0 {
            out.extend_from_slice(br#","elided":"#);
            write_decimal(elided, out);
        }
        out.push(b'}');
    }
}

reasons! {
    /// Why a `raceway-clock` counts as absent.
    InvalidRacewayClock {
        /// Over 48 KiB.
        Length = "length", "raceway-clock is longer than 48 KiB";
        /// Not `v1;`.
        Version = "version", "raceway-clock is not of version v1";
        /// Not base64url.
        Base64 = "base64", "raceway-clock is not base64url";
        /// Not a JSON object.
        Json = "json", "raceway-clock does not hold a JSON object";
        /// Missing, or neither a UUID nor 32 hex digits, or all zeros.
        TraceId = "trace_id", "raceway-clock has no valid trace id";
        /// Missing, or not 16 lower-case hex digits, or all zeros.
        SpanId = "span_id", "raceway-clock has no valid span id";
    }
}

#[derive(Default)]
struct Fields {
    trace_id: Option<TraceId>,
    span_id: Option<SpanId>,
    parent_span_id: Option<SpanId>,
    service: String,
    instance: String,
    clock: VectorClock,
}

impl Fields {
    /// Of a repeated key the last value counts, as in the SDKs.
    fn read(json: &[u8]) -> Option<Self> {
        let (mut fields, mut elided) = (Self::default(), 0);
        let mut reader = Reader::new(json)?;
        reader.object(|key, reader| {
            match key {
                "trace_id" => fields.trace_id = reader.string_or_skip()?.and_then(|id| TraceId::parse(id.as_bytes())),
                "span_id" => fields.span_id = reader.string_or_skip()?.and_then(|id| SpanId::from_hex(id.as_bytes())),
                "parent_span_id" => {
                    fields.parent_span_id = reader.string_or_skip()?.and_then(|id| SpanId::from_hex(id.as_bytes()));
                }
                "service" => fields.service = reader.string_or_skip()?.unwrap_or_default().into_owned(),
                "instance" => fields.instance = reader.string_or_skip()?.unwrap_or_default().into_owned(),
                "clock" => fields.clock = VectorClock::read(reader)?,
                "elided" => elided = reader.count_or_skip()?.unwrap_or(0),
                _ => reader.skip()?,
            }
            Some(())
        })?;
        reader.end()?;
        fields.clock.more_elided(elided);
        Some(fields)
    }
}
