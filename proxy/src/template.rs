//! `http.route`, learned: which parts of a path are names and which are values.
//!
//! ```text
//! /orders/42/items/7           →  /orders/{id}/items/{id}     what is plainly an id is one at once
//! /users/alice, /users/bob …   →  /users/{id}                 after more than 50 different values at one place
//! /a/b/c/… (17 parts)          →  /a/b/c/…/**                 nothing is learned below 16 parts
//! ```
//!
//! Templates become names of spans and keys of statistics, so their number must stay small whatever strangers ask for:
//! learning happens in a trie with at most 4096 nodes. An answer "not found" should not teach anything; use
//! [`Templates::known`] for it.

mod trie;

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::pattern::PathPattern;
use crate::redact::without_query;
use trie::Trie;

/// What stands in a template for a value.
const VALUE: &str = "{id}";
/// What stands for everything below the depth that is learned.
const REST: &str = "**";
/// The templates of one service.
#[derive(Debug)]
pub struct Templates {
    patterns: Vec<PathPattern>,
    trie: Trie,
    learned: Arc<Learned>,
}

/// How full the memory of templates is, readable while it is in use.
#[derive(Debug, Default)]
pub struct Learned {
    nodes: AtomicU64,
    folds: AtomicU64,
    overflows: AtomicU64,
}

impl Learned {
    /// Nodes in use, at most 4096.
    pub fn nodes(&self) -> u64 {
        self.nodes.load(Ordering::Relaxed)
    }

    /// Places that turned from names into values.
    pub fn folds(&self) -> u64 {
        self.folds.load(Ordering::Relaxed)
    }

    /// Paths of which a part became `{id}` only because the memory was full.
    pub fn overflows(&self) -> u64 {
        self.overflows.load(Ordering::Relaxed)
    }
}

impl Templates {
    /// Nothing learned yet; patterns win over what will be, the first that fits over the others.
    pub fn new(patterns: Vec<PathPattern>) -> Self {
        Self { patterns, trie: Trie::new(), learned: Arc::default() }
    }

    /// The template of a path (a query is ignored), learning from it.
    pub fn template<'a>(&'a mut self, path: &'a str) -> Cow<'a, str> {
        self.find(path, true).unwrap_or(Cow::Borrowed(REST))
    }

    /// The template of a path if earlier ones taught it, without learning: for requests that found nothing, so that a
    /// scanner cannot fill the memory with what does not exist.
    pub fn known<'a>(&'a mut self, path: &'a str) -> Option<Cow<'a, str>> {
        self.find(path, false)
    }

    /// How full the memory is; the same for as long as this lives.
    pub fn learned(&self) -> Arc<Learned> {
        Arc::clone(&self.learned)
    }

    fn find<'a>(&'a mut self, path: &'a str, learn: bool) -> Option<Cow<'a, str>> {
        let path = without_query(path);
        let Some(inside) = path.strip_prefix('/') else { return Some(Cow::Borrowed("*")) };
        if let Some(pattern) = self.patterns.iter().find(|pattern| pattern.matches(path)) {
            return Some(Cow::Borrowed(pattern.text()));
        }
        let template = self.trie.walk(path, inside, learn);
        self.learned.nodes.store(self.trie.in_use() as u64, Ordering::Relaxed);
        self.learned.folds.store(self.trie.folds, Ordering::Relaxed);
        self.learned.overflows.store(self.trie.overflows, Ordering::Relaxed);
        template
    }
}

#[cfg(test)]
mod tests;
