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

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::pattern::PathPattern;
use crate::redact::{REDACTED, is_email, is_token, is_ulid, is_uuid, without_query};

/// What stands in a template for a value.
const VALUE: &str = "{id}";
/// What stands for everything below the depth that is learned.
const REST: &str = "**";
/// More different values than this at one place make it a place for values. An API with more than fifty siblings under
/// one prefix is rarer than a list of users; and fifty templates are what a person can still read.
const SIBLINGS_MAX: usize = 50;
/// Nodes in all: 4096 × some 150 bytes is about 600 KB, and hundreds of real endpoints fit in.
const NODES_MAX: usize = 4096;
/// Parts of a path that are learned; real routes have fewer than ten.
const DEPTH_MAX: usize = 16;
/// Longer parts are values: no developer names an endpoint like that.
const PART_MAX: usize = 64;
/// A name seen in at least a tenth of the requests to its place (and ten times) outlives its siblings' becoming values:
/// `/users/login` among a thousand `/users/<name>`.
const KEPT_HITS_MIN: u32 = 10;
const KEPT_SHARE: u32 = 10;

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

#[derive(Debug)]
struct Trie {
    nodes: Vec<Node>,
    /// Indices of nodes that a fold gave back.
    free: Vec<usize>,
    folds: u64,
    overflows: u64,
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

impl Trie {
    fn new() -> Self {
        Self { nodes: vec![Node::default()], free: Vec::new(), folds: 0, overflows: 0 }
    }

    fn in_use(&self) -> usize {
        self.nodes.len() - self.free.len()
    }

    /// Follows a path from the root; `None` where that needs something not yet learned and `learn` forbids it.
    fn walk<'p>(&mut self, path: &'p str, inside: &'p str, learn: bool) -> Option<Cow<'p, str>> {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn learned(paths: impl IntoIterator<Item = String>) -> Templates {
        let mut routes = Templates::new(Vec::new());
        for path in paths {
            routes.template(&path);
        }
        routes
    }

    #[test]
    fn plain_ids_are_values_at_once() {
        let mut routes = learned([]);
        for (path, template) in [
            ("/orders/42/items/7", "/orders/{id}/items/{id}"),
            ("/orders/4bf92f35-77b3-4da6-a3ce-929d0e0e4736", "/orders/{id}"),
            ("/orders/507f1f77bcf86cd799439011/", "/orders/{id}/"),
            ("/orders/01ARZ3NDEKTSV4RRFFQ69G5FAV", "/orders/{id}"),
            ("/days/2024-01-02", "/days/{id}"),
            ("/batch/1,2,3", "/batch/{id}"),
            ("/users/a@b.com", "/users/{id}"),
            ("/users/a%40b.com", "/users/{id}"),
            ("/k/sk_live_4eC39HqLyjWDarjtT1zdp7dc", "/k/{id}"),
            ("/orders/42?x=1", "/orders/{id}"),
            ("/cart;jsessionid=1/items", "/cart/items"),
            ("//7", "//{id}"),
            ("/reset/[redacted]", "/reset/{id}"),
            ("/cart;[redacted]", "/cart"),
            ("authority:80", "*"),
        ] {
            assert_eq!(routes.template(path), template, "{path}");
        }
    }

    #[test]
    fn names_stay_and_cost_no_copy() {
        let mut routes = learned([]);
        for path in [
            "/",
            "/orders",
            "/orders/",
            "/api/v1/orders",
            "/api/1.0/x",
            "/deadbeef",
            "/a11y",
            "//",
            "/{order}",
            "/com.example.shop.CheckoutService/PlaceOrder",
            "/robots.txt",
            "*",
        ] {
            assert!(matches!(routes.template(path), Cow::Borrowed(same) if same == path), "{path}");
        }
        assert!(matches!(routes.template("/orders?x=/1"), Cow::Borrowed("/orders")));
    }

    #[test]
    fn many_values_at_one_place_become_one() {
        let mut routes = learned((0..SIBLINGS_MAX).map(|n| format!("/users/name{n}/profile")));
        assert_eq!(routes.template("/users/name1/profile"), "/users/name1/profile");
        assert_eq!(routes.template("/users/onemore/profile"), "/users/{id}/profile");
        assert_eq!(routes.template("/users/name1/profile"), "/users/{id}/profile");
        // What was learned below the names is known below the value.
        assert_eq!(routes.known("/users/nobody/profile").as_deref(), Some("/users/{id}/profile"));
        assert_eq!(routes.known("/users/nobody/other"), None);
        // root, users, value, profile
        let learned = routes.learned();
        assert_eq!((learned.nodes(), learned.folds(), learned.overflows()), (4, 1, 0));
    }

    #[test]
    fn a_name_that_many_requests_share_outlives_the_others() {
        let logins = (0..20).map(|_| "/users/login".to_owned());
        let mut routes = learned(logins.chain((0..=SIBLINGS_MAX).map(|n| format!("/users/name{n}"))));
        assert_eq!(routes.template("/users/login"), "/users/login");
        assert_eq!(routes.template("/users/name1"), "/users/{id}");
    }

    #[test]
    fn what_was_not_found_teaches_nothing() {
        let mut routes = learned(["/orders/7".to_owned()]);
        assert_eq!(routes.known("/wp-admin"), None);
        assert_eq!(routes.known("/orders/abc"), None);
        assert_eq!(routes.known("/orders/8").as_deref(), Some("/orders/{id}"));
        assert_eq!(routes.learned().nodes(), 3);
    }

    #[test]
    fn patterns_win() {
        let pattern = |text| PathPattern::parse(text).expect("a pattern");
        let mut routes = Templates::new(vec![pattern("/orders/{order}/items/*"), pattern("/files/**")]);
        assert_eq!(routes.template("/orders/alpha/items/9"), "/orders/{order}/items/*");
        assert_eq!(routes.template("/files/a/b/7"), "/files/**");
        assert_eq!(routes.template("/orders/9"), "/orders/{id}");
    }

    #[test]
    fn deep_paths_end_in_a_star() {
        let mut routes = learned([]);
        let deep = "/a".repeat(DEPTH_MAX);
        assert_eq!(routes.template(&deep), deep);
        assert_eq!(routes.template(&format!("{deep}/b/c")), format!("{deep}/**"));
    }

    #[test]
    fn the_memory_is_bounded_and_overflow_is_counted() {
        // Fewer siblings than fold at every place, so that only the cap on nodes holds.
        let mut routes = Templates::new(Vec::new());
        let name = |n: usize| format!("p{}", char::from(b'a' + u8::try_from(n).expect("small")));
        for n in 0..20_000 {
            let path =
                format!("/{}/{}/{}/{}", name(n % 20), name(n / 20 % 20), name(n / 400 % 20), name(n / 8000 % 20));
            routes.template(&path);
        }
        let learned = routes.learned();
        assert_eq!(learned.nodes(), NODES_MAX as u64);
        assert!(learned.overflows() > 0);
        assert_eq!(routes.template("/pa/7/pz/pz"), "/pa/{id}/{id}/{id}");
    }

    fn path() -> impl Strategy<Value = String> {
        let part = prop_oneof![
            "[a-c]{1,2}",
            "[0-9a-f]{6,9}",
            ".{0,4}",
            "[a-zA-Z0-9_-]{18,70}",
            Just("{id}".to_owned()),
            Just("**".to_owned())
        ];
        proptest::collection::vec(part, 0..20).prop_map(|parts| format!("/{}", parts.join("/")))
    }

    proptest! {
        // Each case is a whole life of a memory.
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn a_template_is_its_own_template(paths in proptest::collection::vec(path(), 1..120)) {
            let mut routes = Templates::new(Vec::new());
            for path in &paths {
                let template = routes.template(path).into_owned();
                prop_assert_eq!(routes.template(&template), template.as_str());
                let known = routes.known(path).map(Cow::into_owned);
                prop_assert_eq!(known, Some(template.clone()));
                prop_assert!(template.split('/').count() <= DEPTH_MAX + 2);
            }
            prop_assert!(routes.learned().nodes() <= NODES_MAX as u64);
        }

        #[test]
        fn many_paths_make_few_templates(parts in proptest::collection::vec("[g-z]{1,12}", 200..400)) {
            let mut routes = Templates::new(Vec::new());
            for part in &parts {
                routes.template(&format!("/users/{part}"));
            }
            let templates: std::collections::HashSet<_> =
                parts.iter().map(|part| routes.template(&format!("/users/{part}")).into_owned()).collect();
            prop_assert!(templates.len() <= 10, "{:?}", templates);
        }
    }
}
