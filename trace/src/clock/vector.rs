//! The vector: one counter per component.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use super::Component;
use crate::json::{Charset, Reader, string_len, write_string};
use crate::text::{decimal_len, write_decimal};

/// The most entries of one clock.
pub const ENTRIES_MAX: usize = 128;

/// The largest value that JavaScript reads exactly, 2^53 − 1; anything larger counts as absent.
pub const VALUE_MAX: u64 = (1 << 53) - 1;

/// From this many comparisons on, finding entries by hash is cheaper than one by one.
const SCAN_MAX: usize = 512;

/// What a strand knows of every component's counter: at most 128 entries of 1 to 2^53 − 1.
///
/// The entries keep an order, and when a clock must shrink the foremost go first: those of children that have
/// answered, then the oldest ancestors; a strand's own stands last. Equality does not look at the order.
///
/// ```
/// use raceway_trace::clock::{Component, VectorClock};
///
/// let component = |name| Component::new(name).expect("not empty");
/// let mut clock = VectorClock::from_iter([(component("api#a~1"), 3)]);
/// clock.merge_max(&VectorClock::from_iter([(component("api#a~1"), 2), (component("auth#b~1"), 4)]));
/// assert_eq!((clock.get("api#a~1"), clock.get("auth#b~1")), (Some(3), Some(4)));
///
/// let mut json = Vec::new();
/// clock.write_json(&mut json);
/// assert_eq!(json, br#"[["auth#b~1",4],["api#a~1",3]]"#);
/// assert_eq!(VectorClock::parse_json(&json), Some(clock));
/// ```
#[derive(Clone, Default)]
pub struct VectorClock {
    entries: Vec<(Component, u64)>,
    elided: u32,
}

impl VectorClock {
    /// A clock that knows nothing.
    pub const fn new() -> Self {
        Self { entries: Vec::new(), elided: 0 }
    }

    /// The counter of a component, if it was ever heard of.
    pub fn get(&self, component: &str) -> Option<u64> {
        self.entries.iter().find(|(name, _)| name.as_str() == component).map(|&(_, value)| value)
    }

    /// The entries, those first that an encoder leaves out first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&Component, u64)> + ExactSizeIterator {
        self.entries.iter().map(|(component, value)| (component, *value))
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many entries are known to have been left out on the way: with 0, what is not here was never heard of.
    pub const fn elided(&self) -> u32 {
        self.elided
    }

    /// Takes the larger value of every component. What is new goes in front.
    pub fn merge_max(&mut self, other: &Self) {
        self.merge(other, None);
    }

    /// As [`VectorClock::merge_max`], but what `other` claims of the component that stands last is ignored. `true` if
    /// anything was new.
    pub(super) fn merge_others(&mut self, other: &Self) -> bool {
        let own = self.entries.pop();
        let new = self.merge(other, own.as_ref().map(|(name, _)| name));
        self.entries.extend(own);
        self.shrink();
        new
    }

    fn merge(&mut self, other: &Self, except: Option<&Component>) -> bool {
        self.elided = self.elided.max(other.elided);
        let others = other.entries.iter().filter(|(name, _)| Some(name) != except);
        let (mut raised, mut fresh) = (false, Vec::new());
        let mut raise = |known: Option<&mut u64>, component: &Component, value: u64| match known {
            Some(known) => {
                raised |= value > *known;
                *known = value.max(*known);
            }
            None => fresh.push((component.clone(), value)),
        };
        if self.entries.len() * other.entries.len() <= SCAN_MAX {
            for (component, value) in others {
                let known = self.entries.iter_mut().find(|(name, _)| name == component);
                raise(known.map(|(_, value)| value), component, *value);
            }
        } else {
            let mut known: HashMap<&Component, &mut u64> =
                self.entries.iter_mut().map(|(name, value)| (&*name, value)).collect();
            for (component, value) in others {
                raise(known.get_mut(component).map(|value| &mut **value), component, *value);
            }
        }
        raised |= !fresh.is_empty();
        if !fresh.is_empty() {
            fresh.append(&mut self.entries);
            self.entries = fresh;
            self.shrink();
        }
        raised
    }

    /// Takes from the front what is over the limit.
    fn shrink(&mut self) {
        let over = self.entries.len().saturating_sub(ENTRIES_MAX);
        if over > 0 {
            self.entries.drain(..over);
            self.elided = self.elided.saturating_add(u32::try_from(over).unwrap_or(u32::MAX));
        }
    }

    /// The clock of a strand that begins with what `inbound` knows: its own counter, last, is 1 whatever was claimed.
    pub(super) fn begin(inbound: Option<&Self>, own: Component) -> Self {
        let mut clock = Self::new();
        if let Some(inbound) = inbound {
            clock.entries.reserve_exact(inbound.entries.len() + 1);
            clock.entries.extend(inbound.entries.iter().filter(|(name, _)| *name != own).cloned());
            clock.elided = inbound.elided;
        }
        clock.entries.push((own, 1));
        clock.shrink();
        clock
    }

    /// The clock of some entries whose values are in the range, but which may repeat and be too many.
    fn from_entries(mut entries: Vec<(Component, u64)>) -> Self {
        if repeats(&entries) {
            let mut largest = HashMap::new();
            for (component, value) in &entries {
                let known = largest.entry(component.clone()).or_insert(*value);
                *known = (*known).max(*value);
            }
            // Each stands where it came first.
            entries.retain_mut(|(component, value)| match largest.remove(component) {
                Some(max) => {
                    *value = max;
                    true
                }
                None => false,
            });
        }
        let mut clock = Self { entries, elided: 0 };
        clock.shrink();
        clock
    }

    /// The bare entries.
    pub(crate) fn into_entries(self) -> Vec<(Component, u64)> {
        self.entries
    }

    /// The counter that stands last, which is a strand's own.
    pub(super) fn last(&self) -> u64 {
        self.entries.last().map_or(0, |&(_, value)| value)
    }

    /// Raises the counter that stands last by 1, and returns it. No strand lives to see the limit.
    pub(super) fn tick_last(&mut self) -> u64 {
        let Some((_, value)) = self.entries.last_mut() else { return 0 };
        *value = (*value + 1).min(VALUE_MAX);
        *value
    }

    /// Appends `[["svc#inst~1",3],…]`; where entries were left out on the way, their number stands last.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        self.write_entries(0, out);
        if self.elided > 0 {
            out.pop();
            if !self.is_empty() {
                out.push(b',');
            }
            write_decimal(u64::from(self.elided), out);
            out.push(b']');
        }
    }

    /// The entries as JSON without the `skipped` foremost.
    pub(crate) fn write_entries(&self, skipped: usize, out: &mut Vec<u8>) {
        out.push(b'[');
        for (at, (component, value)) in self.entries.iter().skip(skipped).enumerate() {
            out.extend_from_slice(if at == 0 { b"[" } else { b",[" });
            write_string(component, Charset::Utf8, out);
            out.push(b',');
            write_decimal(*value, out);
            out.push(b']');
        }
        out.push(b']');
    }

    /// How many bytes of JSON each entry takes, with a comma.
    pub(crate) fn entry_lens(&self) -> impl Iterator<Item = usize> {
        self.entries.iter().map(|(component, value)| string_len(component, Charset::Utf8) + decimal_len(*value) + 4)
    }

    /// Reads what [`VectorClock::write_json`] wrote, or an SDK. Entries that make no sense are passed over; `None`
    /// only where the text is not JSON.
    pub fn parse_json(text: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(text)?;
        let clock = Self::read(&mut reader)?;
        reader.end()?;
        Some(clock)
    }

    /// Reads the next value as a clock; whatever is not an array counts as empty.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        if reader.peek()? != b'[' {
            reader.skip()?;
            return Some(Self::new());
        }
        let (mut entries, mut elided) = (Vec::new(), 0);
        reader.array(|reader| {
            match reader.peek()? {
                b'[' => entries.extend(entry(reader)?),
                _ => elided = reader.count_or_skip()?.unwrap_or(0),
            }
            Some(())
        })?;
        let mut clock = Self::from_entries(entries);
        clock.more_elided(elided);
        Some(clock)
    }

    /// Adds to the number of entries that are known to be missing.
    pub(crate) fn more_elided(&mut self, elided: u64) {
        self.elided = self.elided.saturating_add(u32::try_from(elided).unwrap_or(u32::MAX));
    }
}

/// Reads one `["svc#inst~1",3]`; `None` inside for one that makes no sense.
fn entry(reader: &mut Reader<'_>) -> Option<Option<(Component, u64)>> {
    let (mut name, mut value, mut len) = (None, None, 0usize);
    reader.array(|reader| {
        match len {
            0 => name = reader.string_or_skip()?,
            1 => value = reader.count_or_skip()?,
            _ => reader.skip()?,
        }
        len += 1;
        Some(())
    })?;
    let entry = name.zip(value).filter(|(_, value)| len == 2 && (1..=VALUE_MAX).contains(value));
    Some(entry.and_then(|(name, value): (Cow<'_, str>, u64)| Some((Component::new(&name)?, value))))
}

/// Values outside 1 to 2^53 − 1 are passed over, the larger of two is taken, and of more than 128 components the
/// last are kept.
impl FromIterator<(Component, u64)> for VectorClock {
    fn from_iter<T: IntoIterator<Item = (Component, u64)>>(entries: T) -> Self {
        Self::from_entries(entries.into_iter().filter(|(_, value)| (1..=VALUE_MAX).contains(value)).collect())
    }
}

fn repeats(entries: &[(Component, u64)]) -> bool {
    if entries.len() * entries.len() > SCAN_MAX {
        let mut seen = std::collections::HashSet::with_capacity(entries.len());
        return !entries.iter().all(|(component, _)| seen.insert(component));
    }
    let mut rest = entries;
    while let [(component, _), behind @ ..] = rest {
        if behind.iter().any(|(other, _)| other == component) {
            return true;
        }
        rest = behind;
    }
    false
}

impl PartialEq for VectorClock {
    fn eq(&self, other: &Self) -> bool {
        self.elided == other.elided
            && self.len() == other.len()
            && self.iter().all(|(component, value)| other.get(component) == Some(value))
    }
}

impl Eq for VectorClock {}

impl fmt::Debug for VectorClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()?;
        if self.elided > 0 { write!(f, "+{}", self.elided) } else { Ok(()) }
    }
}
