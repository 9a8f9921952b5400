//! Patterns over paths, shared by `--ignore`, `--route-pattern` and `--redact`.
//!
//! ```text
//! /orders/{order}/items/*     {order} and * stand for one segment
//! /health/**                  ** at the end stands for everything below, and for nothing
//! /report-*.pdf               * inside a segment stands for any text without a slash
//! ```
//!
//! A `**` only at the end means that matching never has to go back: the work is linear in the path.

use std::fmt;

/// A checked pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    text: Box<str>,
    parts: Box<[Part]>,
    rest: bool,
    /// How much of the text every path that fits begins with: one comparison tells most others apart.
    fixed: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(Box<str>),
    /// `{name}` or `*`; named ones are what `--redact` hides.
    Any {
        named: bool,
    },
    /// Text with `*` in it: what stands before, between and after the stars.
    Glob(Box<[Box<str>]>),
}

/// Why a text is not a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPattern {
    /// It does not start with a slash.
    #[error("a path pattern starts with '/'")]
    NotAPath,
    /// `?` or `#` in it.
    #[error("a path pattern ends where the query begins: leave out '?' and '#' and what follows")]
    Query,
    /// `**` before the end.
    #[error("'**' stands for everything below and may only be the last segment")]
    RestInside,
    /// A brace that is not around a whole segment.
    #[error("'{{name}}' stands for a whole segment, as in /orders/{{order}}")]
    Brace,
}

impl PathPattern {
    /// Reads a pattern; see the module's documentation for its form.
    pub fn parse(text: &str) -> Result<Self, InvalidPattern> {
        let inside = text.strip_prefix('/').ok_or(InvalidPattern::NotAPath)?;
        if inside.contains(['?', '#']) {
            return Err(InvalidPattern::Query);
        }
        let (inside, rest) = match inside.strip_suffix("**") {
            Some("") => (None, true),
            Some(before) => (Some(before.strip_suffix('/').ok_or(InvalidPattern::RestInside)?), true),
            None => (Some(inside), false),
        };
        let parts = inside.into_iter().flat_map(|inside| inside.split('/')).map(Part::parse);
        let parts: Box<[Part]> = parts.collect::<Result<_, _>>()?;
        let literal = |part: &Part| if let Part::Literal(text) = part { Some(1 + text.len()) } else { None };
        let fixed = parts.iter().map_while(literal).sum();
        Ok(Self { text: text.into(), parts, rest, fixed })
    }

    /// Whether a path (without query) fits.
    pub fn matches(&self, path: &str) -> bool {
        if self.fixed == self.text.len() { path == &*self.text } else { self.places(path).is_some() }
    }

    /// Where a path fits: for each segment its text and whether a `{name}` stands for it; `None` where it does not.
    pub(crate) fn places<'a>(&'a self, path: &'a str) -> Option<impl Iterator<Item = (&'a str, bool)> + 'a> {
        if !path.as_bytes().starts_with(self.text.as_bytes().get(..self.fixed)?) {
            return None;
        }
        let inside = path.strip_prefix('/')?;
        let mut segments = inside.split('/');
        for part in &self.parts {
            if !part.matches(segments.next()?) {
                return None;
            }
        }
        if !self.rest && segments.next().is_some() {
            return None;
        }
        let named = self.parts.iter().map(|part| matches!(part, Part::Any { named: true }));
        Some(inside.split('/').zip(named.chain(std::iter::repeat(false))))
    }

    /// The pattern as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether a `{name}` occurs in it.
    pub fn is_named(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Any { named: true }))
    }
}

impl Part {
    fn parse(segment: &str) -> Result<Self, InvalidPattern> {
        if let Some(name) = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'))
            && !name.is_empty()
            && !name.contains(['{', '}', '*'])
        {
            return Ok(Self::Any { named: true });
        }
        if segment.contains(['{', '}']) {
            return Err(InvalidPattern::Brace);
        }
        if segment.contains("**") {
            return Err(InvalidPattern::RestInside);
        }
        Ok(match segment {
            "*" => Self::Any { named: false },
            _ if segment.contains('*') => Self::Glob(segment.split('*').map(Box::from).collect()),
            _ => Self::Literal(segment.into()),
        })
    }

    fn matches(&self, segment: &str) -> bool {
        match self {
            Self::Literal(text) => **text == *segment,
            // An empty segment is no value: /orders/ is not /orders/{order}.
            Self::Any { .. } => !segment.is_empty(),
            Self::Glob(texts) => glob(texts, segment),
        }
    }
}

/// Whether `text` is the given pieces with anything between them.
///
/// Taking the first place where a piece fits is enough, because only the last piece is bound to the end.
pub(crate) fn glob(pieces: &[Box<str>], text: &str) -> bool {
    let [first, between @ .., last] = pieces else { return false };
    let Some(mut text) = text.strip_prefix(&**first).and_then(|rest| rest.strip_suffix(&**last)) else { return false };
    for piece in between {
        match text.split_once(&**piece) {
            Some((_, after)) => text = after,
            None => return false,
        }
    }
    true
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl serde::Serialize for PathPattern {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> PathPattern {
        PathPattern::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn what_fits_and_what_does_not() {
        let rows: &[(&str, &[&str], &[&str])] = &[
            ("/", &["/"], &["", "//", "/a"]),
            ("/live", &["/live"], &["/live/", "/Live", "/alive", "/live/x", "live"]),
            ("/orders/{order}", &["/orders/7", "/orders/{order}"], &["/orders", "/orders/", "/orders/7/items"]),
            ("/orders/*/items", &["/orders/7/items"], &["/orders//items", "/orders/7/8/items"]),
            ("/**", &["/", "/a", "/a/b"], &["", "*"]),
            ("/health/**", &["/health", "/health/", "/health/a/b"], &["/healthy", "/"]),
            ("/report-*.pdf", &["/report-.pdf", "/report-7.pdf"], &["/report-7.pdf/x", "/report.pdf"]),
            ("/a*b*c", &["/abc", "/axbxc", "/abbcc", "/abcbc"], &["/ab", "/acb", "/axc"]),
            ("/a*a", &["/aa", "/aaa"], &["/a"]),
        ];
        for (text, fit, unfit) in rows {
            for path in *fit {
                assert!(pattern(text).matches(path), "{text} should fit {path}");
            }
            for path in *unfit {
                assert!(!pattern(text).matches(path), "{text} should not fit {path}");
            }
        }
    }

    #[test]
    fn mistakes_are_named() {
        let rows = [
            ("", InvalidPattern::NotAPath),
            ("orders", InvalidPattern::NotAPath),
            ("*", InvalidPattern::NotAPath),
            ("/a?b", InvalidPattern::Query),
            ("/a#b", InvalidPattern::Query),
            ("/**/a", InvalidPattern::RestInside),
            ("/a**", InvalidPattern::RestInside),
            ("/{a}b", InvalidPattern::Brace),
            ("/{}", InvalidPattern::Brace),
            ("/{a", InvalidPattern::Brace),
            ("/{*}", InvalidPattern::Brace),
        ];
        for (text, error) in rows {
            assert_eq!(PathPattern::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn named_places_are_found() {
        let pattern = pattern("/reset/{token}/**");
        let places: Vec<_> = pattern.places("/reset/abc/x").expect("it fits").collect();
        assert_eq!(places, [("reset", false), ("abc", true), ("x", false)]);
    }
}
