//! Edge counters: all in memory, since they are few, and every change on disk, since they must outlive the process.

use std::collections::HashMap;
use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use fjall::{Keyspace, OwnedWriteBatch};

use super::codec::{Corrupt, read_count, read_number, read_text, take, write_number, write_text};
use crate::ingest::{EdgeCounter, EdgeKey, Latency};

/// Counters kept at most (about 1 KiB each): a thousand processes with twenty peers each. A hostile sender who
/// invents more gets none of them kept; those that are there go on.
const COUNTERS_MAX: usize = 20_000;

/// The newest values of every counter.
pub(super) struct Edges {
    keyspace: Keyspace,
    counters: RwLock<HashMap<EdgeKey, Kept>>,
}

struct Kept {
    counter: EdgeCounter,
    /// When it last came, by our clock: theirs may be wrong, and must not decide how long it is kept.
    arrived_ms: u64,
}

impl Edges {
    /// Reads back what the keyspace has; entries that cannot be read are left out.
    pub(super) fn load(keyspace: Keyspace) -> fjall::Result<Self> {
        let mut counters = HashMap::new();
        for entry in keyspace.iter() {
            let (key, value) = entry.into_inner()?;
            match (read_key(&key), read_values(&value)) {
                (Ok(key), Ok((arrived_ms, counter))) => {
                    counters.insert(key.clone(), Kept { counter: EdgeCounter { key, ..counter }, arrived_ms });
                }
                _ => tracing::error!(key = ?key, "an edge counter on disk is damaged and left out"),
            }
        }
        Ok(Self { keyspace, counters: RwLock::new(counters) })
    }

    /// Takes newer values over, writing what changed into `batch`; answers how many counters there was no room for.
    pub(super) fn update(&self, newer: Vec<EdgeCounter>, now_ms: u64, batch: &mut OwnedWriteBatch) -> usize {
        let mut counters = self.write();
        let mut refused = 0;
        for newer in newer {
            let room = counters.len() < COUNTERS_MAX;
            let kept = match counters.get_mut(&newer.key) {
                Some(kept) => {
                    merge(&mut kept.counter, newer);
                    kept.arrived_ms = now_ms;
                    kept
                }
                None if room => {
                    let key = newer.key.clone();
                    counters.entry(key).or_insert(Kept { counter: newer, arrived_ms: now_ms })
                }
                None => {
                    refused += 1;
                    continue;
                }
            };
            batch.insert(&self.keyspace, write_key(&kept.counter.key), write_values(now_ms, &kept.counter));
        }
        refused
    }

    /// Forgets what has not come since a time.
    pub(super) fn expire(&self, before_ms: u64, batch: &mut OwnedWriteBatch) {
        self.write().retain(|key, kept| {
            let keep = kept.arrived_ms >= before_ms;
            if !keep {
                batch.remove(&self.keyspace, write_key(key));
            }
            keep
        });
    }

    /// All counters, in no order.
    pub(super) fn all(&self) -> Vec<EdgeCounter> {
        self.read().values().map(|kept| kept.counter.clone()).collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<EdgeKey, Kept>> {
        self.counters.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<EdgeKey, Kept>> {
        self.counters.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The counters are cumulative: the greater is the newer, whatever order they came in.
fn merge(kept: &mut EdgeCounter, newer: EdgeCounter) {
    kept.time_ns = kept.time_ns.max(newer.time_ns);
    kept.calls = kept.calls.max(newer.calls);
    kept.errors = kept.errors.max(newer.errors);
    if newer.latency.count >= kept.latency.count {
        kept.latency = newer.latency;
    }
}

fn write_key(key: &EdgeKey) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    for text in [&key.environment, &key.namespace, &key.service, &key.instance, &key.to] {
        write_text(&mut out, text);
    }
    out.extend(key.start_ns.to_be_bytes());
    out
}

fn read_key(mut bytes: &[u8]) -> Result<EdgeKey, Corrupt> {
    let bytes = &mut bytes;
    Ok(EdgeKey {
        environment: read_text(bytes)?.to_owned(),
        namespace: read_text(bytes)?.to_owned(),
        service: read_text(bytes)?.to_owned(),
        instance: read_text(bytes)?.to_owned(),
        to: read_text(bytes)?.to_owned(),
        start_ns: u64::from_be_bytes(take(bytes)?),
    })
}

fn write_values(arrived_ms: u64, counter: &EdgeCounter) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    for number in [arrived_ms, counter.time_ns, counter.calls, counter.errors, counter.latency.count] {
        write_number(&mut out, number);
    }
    out.extend(counter.latency.sum_s.to_le_bytes());
    write_number(&mut out, counter.latency.bounds_s.len() as u64);
    counter.latency.bounds_s.iter().for_each(|bound| out.extend(bound.to_le_bytes()));
    write_number(&mut out, counter.latency.buckets.len() as u64);
    counter.latency.buckets.iter().for_each(|&bucket| write_number(&mut out, bucket));
    out
}

fn read_values(mut bytes: &[u8]) -> Result<(u64, EdgeCounter), Corrupt> {
    let bytes = &mut bytes;
    let arrived_ms = read_number(bytes)?;
    let mut counter = EdgeCounter {
        time_ns: read_number(bytes)?,
        calls: read_number(bytes)?,
        errors: read_number(bytes)?,
        ..EdgeCounter::default()
    };
    counter.latency =
        Latency { count: read_number(bytes)?, sum_s: f64::from_le_bytes(take(bytes)?), ..Latency::default() };
    for _ in 0..read_count(bytes)? {
        counter.latency.bounds_s.push(f64::from_le_bytes(take(bytes)?));
    }
    for _ in 0..read_count(bytes)? {
        counter.latency.buckets.push(read_number(bytes)?);
    }
    Ok((arrived_ms, counter))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counter() -> EdgeCounter {
        let text = str::to_owned;
        EdgeCounter {
            key: EdgeKey {
                environment: text("prod"),
                namespace: String::new(),
                service: text("api"),
                instance: text("api-1"),
                start_ns: 1_700_000_000_000_000_000,
                to: text("orders"),
            },
            time_ns: 1_700_000_005_000_000_000,
            calls: 300,
            errors: 2,
            latency: Latency { bounds_s: vec![0.1, 1.0], buckets: vec![200, 99, 1], count: 300, sum_s: 42.5 },
        }
    }

    #[test]
    fn what_is_written_can_be_read() {
        let counter = counter();
        let (key, values) = (write_key(&counter.key), write_values(9, &counter));
        assert_eq!(read_key(&key), Ok(counter.key.clone()));
        assert_eq!(read_values(&values), Ok((9, EdgeCounter { key: EdgeKey::default(), ..counter })));
        for cut in 0..values.len() {
            assert_eq!(read_values(&values[..cut]), Err(Corrupt));
        }
    }

    #[test]
    fn older_values_change_nothing() {
        let mut kept = counter();
        let older = EdgeCounter { calls: 10, errors: 0, time_ns: 5, latency: Latency::default(), ..counter() };
        merge(&mut kept, older);
        assert_eq!(kept, counter());
    }
}
