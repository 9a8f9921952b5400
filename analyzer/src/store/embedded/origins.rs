//! Origins: the process and instrumentation scope that spans share, kept once per partition and named by number.
//!
//! They lie in the partition and not in one place for all, so that they go when their spans go.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use fjall::{Keyspace, OwnedWriteBatch, Readable, Snapshot};
use raceway_analyzer_client::{Reported, Resource, Value};

use super::codec::{Corrupt, read_count, read_number, read_pairs, read_text, write_number, write_pairs, write_text};
use super::keys;

/// Numbered origins of one partition, at most: real systems have a process count, hostile ones have not. Beyond it
/// (16 Ki processes between two partitions), a span carries its origin itself, which costs disk but no memory.
const ORIGINS_MAX: usize = 16 * 1024;

/// Bytes of numbered origins of one partition, at most, for the same reason (512 B each at the full number).
const ORIGINS_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Decoded origins that reading keeps per partition, at most.
const CACHED_MAX: usize = 4096;

/// A process and the scope it reports under.
pub(super) type Origin = (Arc<Resource>, Arc<str>);

/// The writer's view: which origins have a number.
#[derive(Default)]
pub(super) struct Numbers {
    numbers: HashMap<Box<[u8]>, u32>,
    bytes: usize,
    /// Consecutive spans mostly share an origin: found by address (which cannot be another's: it is held here).
    last: Option<(Origin, Vec<u8>)>,
}

impl Numbers {
    /// Reads back what the partition has.
    pub(super) fn load(spans: &Keyspace) -> fjall::Result<Self> {
        let mut loaded = Self::default();
        for entry in spans.prefix([keys::ORIGIN]) {
            let (key, value) = entry.into_inner()?;
            if let Some(number) = keys::origin_number(&key) {
                loaded.bytes += value.len();
                loaded.numbers.insert(value.as_ref().into(), number);
            }
        }
        Ok(loaded)
    }

    /// The bytes that stand for the origin in front of a span; writes it into `batch` if the partition has it not yet.
    pub(super) fn reference(&mut self, reported: &Reported, spans: &Keyspace, batch: &mut OwnedWriteBatch) -> &[u8] {
        let same = |(resource, scope): &Origin| {
            Arc::ptr_eq(resource, &reported.resource) && Arc::ptr_eq(scope, &reported.scope)
        };
        if !self.last.as_ref().is_some_and(|(origin, _)| same(origin)) {
            let reference = self.number(reported, spans, batch);
            self.last = Some(((reported.resource.clone(), reported.scope.clone()), reference));
        }
        self.last.as_ref().map(|(_, reference)| reference.as_slice()).unwrap_or_default()
    }

    fn number(&mut self, reported: &Reported, spans: &Keyspace, batch: &mut OwnedWriteBatch) -> Vec<u8> {
        let mut origin = Vec::with_capacity(256);
        write_origin(&mut origin, &reported.resource.attributes, &reported.scope);
        let mut reference = Vec::new();
        let number = match self.numbers.get(origin.as_slice()) {
            Some(&number) => number,
            None if self.numbers.len() >= ORIGINS_MAX || self.bytes + origin.len() > ORIGINS_BYTES_MAX => {
                write_number(&mut reference, 0);
                write_number(&mut reference, origin.len() as u64);
                reference.extend(origin);
                return reference;
            }
            None => {
                let number = self.numbers.len() as u32;
                batch.insert(spans, keys::origin(number), origin.as_slice());
                self.bytes += origin.len();
                self.numbers.insert(origin.into(), number);
                number
            }
        };
        write_number(&mut reference, u64::from(number) + 1);
        reference
    }
}

/// The readers' view: origins by number, decoded once.
#[derive(Default)]
pub(super) struct Cache {
    known: Mutex<HashMap<u32, Origin>>,
}

impl Cache {
    /// Takes the origin from the front of a stored span.
    pub(super) fn read(&self, bytes: &mut &[u8], spans: &Keyspace, at: &Snapshot) -> Result<Origin, Corrupt> {
        let Some(number) = read_number(bytes)?.checked_sub(1) else {
            let length = read_count(bytes)?;
            let (origin, rest) = bytes.split_at_checked(length).ok_or(Corrupt)?;
            *bytes = rest;
            return read_origin(origin);
        };
        let number = u32::try_from(number).map_err(|_| Corrupt)?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(origin) = known.get(&number) {
            return Ok(origin.clone());
        }
        let stored = at.get(spans, keys::origin(number)).map_err(|_| Corrupt)?.ok_or(Corrupt)?;
        let origin = read_origin(&stored)?;
        if known.len() >= CACHED_MAX {
            known.clear();
        }
        known.insert(number, origin.clone());
        Ok(origin)
    }
}

fn write_origin(out: &mut Vec<u8>, attributes: &[(Cow<'static, str>, Value<'static>)], scope: &str) {
    write_pairs(out, attributes, 0);
    write_text(out, scope);
}

fn read_origin(mut bytes: &[u8]) -> Result<Origin, Corrupt> {
    let attributes = read_pairs(&mut bytes, 0)?;
    let scope = read_text(&mut bytes)?;
    Ok((Arc::new(Resource { attributes }), scope.into()))
}
