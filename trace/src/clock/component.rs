//! Whose counter an entry of a clock is.

use std::borrow::Borrow;
use std::fmt;
use std::io::Write;
use std::ops::Deref;
use std::sync::Arc;

use crate::text::{digit, fnv64};

/// The longest name of a component, in bytes; longer ones are cut and end in a hash.
pub const NAME_MAX: usize = 128;

/// A dash and 16 hex digits, with which a cut name ends.
const HASH_LEN: usize = 17;

/// The name of one counter: never empty, never over 128 bytes, cheap to clone.
///
/// ```text
/// orders#orders-7d9f-1c0ffee1~42       a strand
/// └service                    └k, unique in the process
///        └instance: pod or host, and 8 random hex per start
/// orders#worker-3                      an SDK's: the same counter serves many requests
/// ```
///
/// ```
/// use raceway_trace::clock::Component;
///
/// let own = Component::strand("orders", "orders-7d9f-1c0ffee1", 42);
/// assert_eq!(own.as_str(), "orders#orders-7d9f-1c0ffee1~42");
/// assert!(own.has_strand());
/// assert_eq!(own.service(), "orders");
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Component(Arc<str>);

impl Component {
    /// A component by its name; `None` for the empty one.
    pub fn new(name: &str) -> Option<Self> {
        if name.is_empty() {
            return None;
        }
        if name.len() <= NAME_MAX {
            return Some(Self(name.into()));
        }
        let mut cut = String::with_capacity(NAME_MAX);
        push_cut(name, NAME_MAX, &mut cut);
        Some(Self(cut.into()))
    }

    /// The component of strand `k`. A `#` or `~` within the names becomes `_`, so that the parts stay apart.
    pub fn strand(service: &str, instance: &str, k: u64) -> Self {
        Instance::new(service, instance).strand(k)
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the counter serves one strand alone. Only then does an order read from it prove anything.
    pub fn has_strand(&self) -> bool {
        let Some((instance, k)) = self.0.rsplit_once('~') else { return false };
        instance.contains('#') && !k.is_empty() && k.bytes().all(|byte| byte.is_ascii_digit())
    }

    /// The service, which is the name up to its first `#`.
    pub fn service(&self) -> &str {
        self.0.split_once('#').map_or(&self.0, |(service, _)| service)
    }
}

impl Deref for Component {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Component {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Component {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One run of a service: what the names of its strands have in common, worked out once.
#[derive(Clone, Debug)]
pub struct Instance {
    service: Option<Component>,
    /// `service#instance`.
    name: Box<str>,
}

impl Instance {
    /// A `#` or `~` within the names becomes `_`.
    pub fn new(service: &str, instance: &str) -> Self {
        let part = |text: &str| text.replace(['#', '~'], "_");
        Self { service: Component::new(service), name: format!("{}#{}", part(service), part(instance)).into() }
    }

    /// The service's name in [`Projection`](crate::x_raceway::Projection)s; `None` where it is empty.
    pub fn service(&self) -> Option<&Component> {
        self.service.as_ref()
    }

    /// The component of strand `k`.
    pub fn strand(&self, k: u64) -> Component {
        let mut bytes = [0; NAME_MAX];
        let mut rest = bytes.as_mut_slice();
        if rest.write_all(self.name.as_bytes()).and_then(|()| write!(rest, "~{k}")).is_ok() {
            let len = NAME_MAX - rest.len();
            if let Some(Ok(text)) = bytes.get(..len).map(str::from_utf8) {
                return Component(text.into());
            }
        }
        let number = format!("~{k}");
        let mut cut = String::with_capacity(NAME_MAX);
        push_cut(&self.name, NAME_MAX - number.len(), &mut cut);
        cut.push_str(&number);
        Component(cut.into())
    }
}

impl fmt::Debug for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// As much of `name` as leaves room for a hash of all of it, and the hash.
fn push_cut(name: &str, len_max: usize, out: &mut String) {
    let kept = name.floor_char_boundary(len_max.saturating_sub(HASH_LEN));
    out.push_str(name.get(..kept).unwrap_or_default());
    out.push('-');
    out.extend(
        fnv64(name.as_bytes())
            .to_be_bytes()
            .into_iter()
            .flat_map(|byte| [byte >> 4, byte & 15].map(|nibble| char::from(digit(nibble)))),
    );
}
