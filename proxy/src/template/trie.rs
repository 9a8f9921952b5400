//! The memory of paths: a tree of their parts, bounded in size.

use std::borrow::Cow;

use super::{REST, VALUE};
use crate::redact::{REDACTED, is_email, is_token, is_ulid, is_uuid};

/// More different values than this at one place make it a place for values. An API with more than fifty siblings under
/// one prefix is rarer than a list of users; and fifty templates are what a person can still read.
pub(super) const SIBLINGS_MAX: usize = 50;
/// Nodes in all: 4096 × some 150 bytes is about 600 KB, and hundreds of real endpoints fit in.
pub(super) const NODES_MAX: usize = 4096;
/// Parts of a path that are learned; real routes have fewer than ten.
pub(super) const DEPTH_MAX: usize = 16;
/// Longer parts are values: no developer names an endpoint like that.
const PART_MAX: usize = 64;
/// A name seen in at least a tenth of the requests to its place (and ten times) outlives its siblings' becoming values:
/// `/users/login` among a thousand `/users/<name>`.
const KEPT_HITS_MIN: u32 = 10;
const KEPT_SHARE: u32 = 10;

#[derive(Debug)]
pub(super) struct Trie {
    nodes: Vec<Node>,
    /// Indices of nodes that a fold gave back.
    free: Vec<usize>,
    pub(super) folds: u64,
    pub(super) overflows: u64,
}

impl Trie {
    pub(super) fn new() -> Self {
        Self { nodes: vec![Node::default()], free: Vec::new(), folds: 0, overflows: 0 }
    }

    pub(super) fn in_use(&self) -> usize {
        self.nodes.len() - self.free.len()
    }

    /// Follows a path from the root; `None` where that needs something not yet learned and `learn` forbids it.
    pub(super) fn walk<'p>(&mut self, path: &'p str, inside: &'p str, learn: bool) -> Option<Cow<'p, str>> {
        // Built only from the first part on that differs.
        let mut out: Option<String> = None;
        // `None` once the memory was full: whatever follows is a value.
        let mut at = Some(ROOT);
        let mut overflow = false;
        // Bytes of the path in front of the part.
        let mut before = 1;
        for (depth, part) in inside.split('/').enumerate() {
            let next = if depth == DEPTH_MAX { Some((REST, None)) } else { self.step(at, part, learn, &mut overflow) };
            let (shown, node) = next?;
            at = node;
            if out.is_none() && shown != part {
                let mut changed = String::with_capacity(path.len() + VALUE.len());
                changed.push_str(path.get(..before)?);
                out = Some(changed);
            } else if let Some(out) = &mut out {
                out.push('/');
            }
            if let Some(out) = &mut out {
                out.push_str(shown);
            }
            before += part.len() + 1;
            if depth == DEPTH_MAX {
                break;
            }
        }
        self.overflows += u64::from(overflow);
        Some(match out {
            Some(out) => Cow::Owned(out),
            None => Cow::Borrowed(path.get(..before - 1).unwrap_or(path)),
        })
    }

    /// One part of a path: how it is shown, and where it leads.
    fn step<'p>(
        &mut self,
        at: Option<usize>,
        part: &'p str,
        learn: bool,
        overflow: &mut bool,
    ) -> Option<(&'p str, Option<usize>)> {
        let Some(at) = at else { return Some((VALUE, None)) };
        let (part, is_value) = name_or_value(part);
        if is_value {
            return self.value(at, learn, overflow);
        }
        let key = key(part);
        let node = self.nodes.get_mut(at)?;
        let place = match node.place(key, part) {
            Ok(place) => {
                let name = node.names.get_mut(place)?;
                name.hits = name.hits.saturating_add(u32::from(learn));
                return Some((part, Some(name.node)));
            }
            Err(place) => place,
        };
        if node.folded {
            return self.value(at, learn, overflow);
        }
        if !learn {
            return None;
        }
        if node.names.len() == SIBLINGS_MAX {
            self.fold(at);
            return self.value(at, learn, overflow);
        }
        let Some(new) = self.add() else {
            *overflow = true;
            return self.value(at, learn, overflow);
        };
        let name = Name { key, text: part.into(), node: new, hits: 1 };
        self.nodes.get_mut(at)?.names.insert(place, name);
        Some((part, Some(new)))
    }

    /// Where any value leads from here.
    fn value(&mut self, at: usize, learn: bool, overflow: &mut bool) -> Option<(&'static str, Option<usize>)> {
        if let Some(node) = self.nodes.get(at)?.value {
            return Some((VALUE, Some(node)));
        }
        if !learn {
            return None;
        }
        let new = self.add();
        *overflow |= new.is_none();
        self.nodes.get_mut(at)?.value = new;
        Some((VALUE, new))
    }

    fn add(&mut self) -> Option<usize> {
        if let Some(index) = self.free.pop() {
            return Some(index);
        }
        if self.nodes.len() >= NODES_MAX {
            return None;
        }
        self.nodes.push(Node::default());
        Some(self.nodes.len() - 1)
    }

    /// Turns the names at one place into values, all but those that many requests share.
    fn fold(&mut self, at: usize) {
        let Some(node) = self.nodes.get_mut(at) else { return };
        node.folded = true;
        self.folds += 1;
        let total = node.names.iter().fold(0, |sum: u32, name| sum.saturating_add(name.hits));
        let names = std::mem::take(&mut node.names);
        let (kept, gone): (Vec<_>, Vec<_>) =
            names.into_iter().partition(|name| name.hits >= KEPT_HITS_MIN && name.hits >= total / KEPT_SHARE);
        node.names = kept;
        for name in gone {
            self.merge_as_value(at, name.node);
        }
    }

    /// Makes what is known below `from` known below any value at `at`.
    fn merge_as_value(&mut self, at: usize, from: usize) {
        let Some(node) = self.nodes.get_mut(at) else { return };
        match node.value {
            None => node.value = Some(from),
            Some(into) => self.merge(into, from),
        }
    }

    /// Moves everything below `from` to `into` and frees `from`. Recursion ends at the depth of the trie.
    fn merge(&mut self, into: usize, from: usize) {
        let Some(source) = self.nodes.get_mut(from).map(std::mem::take) else { return };
        self.free.push(from);
        if let Some(value) = source.value {
            self.merge_as_value(into, value);
        }
        if source.folded && self.nodes.get(into).is_some_and(|node| !node.folded) {
            self.fold(into);
        }
        for name in source.names {
            let Some(target) = self.nodes.get_mut(into) else { return };
            match target.place(name.key, &name.text) {
                Ok(place) => {
                    let Some(same) = target.names.get_mut(place) else { return };
                    same.hits = same.hits.saturating_add(name.hits);
                    let same = same.node;
                    self.merge(same, name.node);
                }
                Err(_) if target.folded => self.merge_as_value(into, name.node),
                Err(place) => {
                    target.names.insert(place, name);
                    if target.names.len() > SIBLINGS_MAX {
                        self.fold(into);
                    }
                }
            }
        }
    }
}

/// What may follow one prefix.
#[derive(Debug, Default)]
struct Node {
    /// Sorted by key and text.
    names: Vec<Name>,
    /// What follows any value.
    value: Option<usize>,
    /// No new names: whatever is not among `names` is a value.
    folded: bool,
}

#[derive(Debug)]
struct Name {
    /// The first bytes of the text: comparing them decides nearly always, without leaving the list.
    key: u64,
    text: Box<str>,
    node: usize,
    hits: u32,
}

const ROOT: usize = 0;

impl Node {
    /// Where a name is in the list, or belongs.
    fn place(&self, key: u64, text: &str) -> Result<usize, usize> {
        self.names.binary_search_by(|name| name.key.cmp(&key).then_with(|| (*name.text).cmp(text)))
    }
}

/// The first eight bytes, as a number that sorts like them.
fn key(text: &str) -> u64 {
    match text.as_bytes().first_chunk::<8>() {
        Some(first) => u64::from_be_bytes(*first),
        None => text.bytes().fold(0, |key, byte| key << 8 | u64::from(byte)) << (64 - 8 * text.len().clamp(1, 8)),
    }
}

/// A part without its matrix parameters, which are never names, and whether it is plainly a value: a number or date, a
/// UUID, hex, a token, an e-mail address, or just long.
fn name_or_value(part: &str) -> (&str, bool) {
    let (mut digits, mut hex, mut separators, mut at, mut parameters) = (0, 0, 0, false, false);
    for byte in part.bytes() {
        match byte {
            b'0'..=b'9' => digits += 1,
            b'a'..=b'f' | b'A'..=b'F' => hex += 1,
            b'-' | b',' | b':' => separators += 1,
            b'@' | b'%' => at = true,
            b';' => parameters = true,
            _ => {}
        }
    }
    if parameters && let Some((name, _)) = part.split_once(';') {
        return name_or_value(name);
    }
    // Most names have no digit and are short: they are done here.
    if digits == 0 && !at && part.len() < 20 {
        return (part, part == VALUE || part == REDACTED);
    }
    let all_hex = digits + hex == part.len();
    let value = (digits > 0 && digits + separators == part.len())
        || (digits > 0 && all_hex && part.len() >= 8)
        || part.len() > PART_MAX
        || is_uuid(part)
        || is_ulid(part)
        || is_token(part)
        || (at && is_email(part));
    (part, value)
}
