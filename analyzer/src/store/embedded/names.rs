//! The names that operations have: rows remember them by hash, and people type only a part of one.
//!
//! Held in memory. The writer adds what comes, and the reading back at the start what was there. A row with a hash that
//! is not here (the reading back is not over, or there are too many names) is looked through span by span.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use xxhash_rust::xxh3::xxh3_64;

/// Names kept: about 2 MiB. Names with ids in them, which no list could show, stop here.
const NAMES_MAX: usize = 16_384;

/// Lower-case names by the hash of the name.
#[derive(Debug, Default)]
pub(super) struct Names(RwLock<HashMap<u64, String>>);

impl Names {
    /// Remembers a name, if there is room.
    pub(super) fn add(&self, name: &str) {
        let hash = hash(name);
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if known.contains_key(&hash) || known.len() >= NAMES_MAX {
            return;
        }
        drop(known);
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(hash, name.to_lowercase());
    }

    /// Looks through all names for a text, upper and lower case being the same.
    pub(super) fn wanted(&self, text: &str) -> Wanted {
        let text = text.to_lowercase();
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Wanted { hashes: known.iter().map(|(&hash, name)| (hash, name.contains(&text))).collect(), text }
    }
}

/// A part of a name that someone asks for, and which names have it.
#[derive(Debug)]
pub(super) struct Wanted {
    text: String,
    hashes: HashMap<u64, bool>,
}

impl Wanted {
    /// Whether the name with this hash has it; `None` for a name that is not known.
    pub(super) fn by_hash(&self, hash: u64) -> Option<bool> {
        self.hashes.get(&hash).copied()
    }

    /// Whether this name has it.
    pub(super) fn is_in(&self, name: &str) -> bool {
        match self.by_hash(hash(name)) {
            Some(known) => known,
            None => name.to_lowercase().contains(&self.text),
        }
    }
}

/// What a row remembers of a name.
pub(super) fn hash(name: &str) -> u64 {
    xxh3_64(name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_name_is_enough_and_case_does_not_matter() {
        let names = Names::default();
        names.add("POST /Checkout");
        for (text, fits) in [("POST /Checkout", true), ("checkout", true), ("post", true), ("", true), ("GET", false)] {
            let wanted = names.wanted(text);
            assert_eq!(wanted.by_hash(hash("POST /Checkout")), Some(fits), "{text}");
            assert_eq!(wanted.by_hash(hash("post /checkout")), None, "another name, which nobody has added");
            assert_eq!(wanted.is_in("POST /Checkout"), fits, "{text}");
            assert_eq!(wanted.is_in("post /checkout"), fits, "{text}");
        }
    }

    #[test]
    fn a_flood_of_names_is_bounded() {
        let names = Names::default();
        (0..NAMES_MAX + 9).for_each(|at| names.add(&format!("GET /{at}")));
        assert_eq!(names.wanted("/").hashes.len(), NAMES_MAX);
        assert!(names.wanted(&NAMES_MAX.to_string()).is_in(&format!("GET /{NAMES_MAX}")), "still found by its name");
    }
}
