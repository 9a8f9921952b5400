//! `X-Raceway-Trace-Id` and `X-Raceway-VC`: a trace id and a clock that people can read and write by hand.

use crate::TraceId;
use crate::clock::{Component, ENTRIES_MAX, VALUE_MAX, VectorClock};
use crate::json::{Charset, Reader, write_string};
use crate::text::{fnv128, trim, write_decimal};

/// The header of [`XTraceId`].
pub const TRACE_ID_NAME: &str = "x-raceway-trace-id";

/// The header of [`Projection`].
pub const VC_NAME: &str = "x-raceway-vc";

/// As much of a foreign trace id as is kept as an attribute, in bytes.
const TEXT_MAX: usize = 256;

/// A trace id as a person or a foreign system wrote it.
///
/// ```text
/// 4bf92f3577b34da6a3ce929d0e0e4736          32 hex of either case
/// 4bf92f35-77b3-4da6-a3ce-929d0e0e4736      or a UUID
/// order-4711                                or anything else, which is hashed to an id
/// ```
///
/// ```
/// use raceway_trace::x_raceway::XTraceId;
///
/// let uuid = XTraceId::parse(b"4BF92F35-77b3-4da6-a3ce-929d0e0e4736")?;
/// assert_eq!(uuid.id.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
/// let order = XTraceId::parse(b"order-4711")?;
/// assert_eq!(order.text.as_deref(), Some("order-4711"));
/// assert_eq!(order.id, XTraceId::parse(b"order-4711")?.id);
/// # Ok::<(), raceway_trace::x_raceway::InvalidXTraceId>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XTraceId {
    /// What the spans of the trace carry.
    pub id: TraceId,
    /// What stood in the header, where it was no id; cut at 256 bytes.
    pub text: Option<String>,
}

impl XTraceId {
    /// Reads the header's value. The same text gives the same id everywhere.
    pub fn parse(value: &[u8]) -> Result<Self, InvalidXTraceId> {
        let value = trim(value);
        if let Some(id) = TraceId::parse(value) {
            return Ok(Self { id, text: None });
        }
        if value.iter().all(|byte| matches!(byte, b'0' | b'-')) {
            return Err(if value.is_empty() { InvalidXTraceId::Empty } else { InvalidXTraceId::Zero });
        }
        let id = TraceId::new(fnv128(value)).ok_or(InvalidXTraceId::Zero)?;
        let text = String::from_utf8_lossy(value.get(..TEXT_MAX).unwrap_or(value)).into_owned();
        Ok(Self { id, text: Some(text) })
    }
}

reasons! {
    /// Why an `X-Raceway-Trace-Id` counts as absent.
    InvalidXTraceId {
        /// Nothing stands there.
        Empty = "empty", "X-Raceway-Trace-Id is empty";
        /// All zeros, which means "no id".
        Zero = "zero", "X-Raceway-Trace-Id is zero";
    }
}

/// A clock by plain service names, as `X-Raceway-VC` carries it: for reading along, while exact order lives in
/// `raceway-clock`.
///
/// ```text
/// {"service-a":5,"service-b":1}        ≤ 128 entries, values 1 to 2^53 − 1; written in ASCII
/// ```
///
/// ```
/// use raceway_trace::clock::{Component, Strand};
/// use raceway_trace::x_raceway::Projection;
///
/// let came = Projection::parse(br#"{"service-a":5}"#)?;
/// let strand = Strand::receive(Component::strand("service-b", "pod-1", 1), None, Some(&came), "service-b");
/// let mut value = Vec::new();
/// strand.projection().write(&mut value);
/// assert_eq!(value, br#"{"service-a":5,"service-b":1}"#);
/// # Ok::<(), raceway_trace::x_raceway::InvalidProjection>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Projection {
    entries: Vec<(Component, u64)>,
}

impl Projection {
    /// A projection that knows nothing.
    pub const fn new() -> Self {
        Self { entries: Vec::new() }
    }

    /// Reads the header's value. Entries that make no sense are passed over.
    pub fn parse(value: &[u8]) -> Result<Self, InvalidProjection> {
        let mut reader = Reader::new(trim(value)).ok_or(InvalidProjection::Json)?;
        let mut entries = Vec::new();
        let parsed = match reader.peek() {
            Some(b'{') => reader.object(|service, reader| {
                let value = reader.count_or_skip()?;
                entries.extend(Component::new(service).zip(value));
                Some(())
            }),
            Some(_) => reader.skip(),
            None => return Err(InvalidProjection::Json),
        };
        parsed.and_then(|()| reader.end()).ok_or(InvalidProjection::Json)?;
        Ok(entries.into_iter().collect())
    }

    /// The counter of a service, if it was ever heard of.
    pub fn get(&self, service: &str) -> Option<u64> {
        self.entries.iter().find(|(name, _)| name.as_str() == service).map(|&(_, value)| value)
    }

    /// The services in the order in which they were heard of.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, u64)> {
        self.entries.iter().map(|(service, value)| (service.as_str(), *value))
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Takes the larger value of every service.
    pub fn merge_max(&mut self, other: &Self) {
        if self.is_empty() {
            self.entries.clone_from(&other.entries);
            return;
        }
        for (service, value) in &other.entries {
            self.raise(service, *value, || Some(service.clone()));
        }
    }

    /// Takes what a clock knows, by the services of its components.
    pub fn merge_clock(&mut self, clock: &VectorClock) {
        for (component, value) in clock.iter() {
            let service = component.service();
            self.raise(service, value, || Component::new(service));
        }
    }

    /// Appends the value to send; nothing but ASCII, so that it fits a header as it is.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        for (at, (service, value)) in self.entries.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            write_string(service, Charset::Ascii, out);
            out.push(b':');
            write_decimal(*value, out);
        }
        out.push(b'}');
    }

    /// Raises a service's own counter by 1.
    pub(crate) fn tick(&mut self, service: &Component) {
        match self.entries.iter_mut().find(|(name, _)| name == service) {
            Some((_, value)) => *value = (*value + 1).min(VALUE_MAX),
            None => {
                self.entries.truncate(ENTRIES_MAX - 1);
                self.entries.push((service.clone(), 1));
            }
        }
    }

    fn raise(&mut self, service: &str, value: u64, name: impl FnOnce() -> Option<Component>) {
        let full = self.entries.len() >= ENTRIES_MAX;
        match self.entries.iter_mut().find(|(name, _)| name.as_str() == service) {
            Some((_, known)) => *known = (*known).max(value),
            None if !full => self.entries.extend(name().map(|name| (name, value))),
            None => {}
        }
    }
}

/// As [`VectorClock`]'s: values outside 1 to 2^53 − 1 are passed over, the larger of two is taken.
impl FromIterator<(Component, u64)> for Projection {
    fn from_iter<T: IntoIterator<Item = (Component, u64)>>(entries: T) -> Self {
        Self { entries: VectorClock::from_iter(entries).into_entries() }
    }
}

reasons! {
    /// Why an `X-Raceway-VC` counts as absent.
    InvalidProjection {
        /// The value is not JSON.
        Json = "json", "X-Raceway-VC is not JSON";
    }
}
