//! Finding traces by an attribute. The store has no index of attributes, so this looks into traces one by one, newest
//! first, as far as one request may; the cursor goes on from there.

use raceway_analyzer_client::{Reported, Value};
use raceway_trace::TraceId;

use crate::api::Work;
use crate::api::problem::Problem;
use crate::api::shown::json;
use crate::store::{TracePage, TraceQuery};

/// Traces looked into per request: some tenths of a second of reading.
const TRACES_MAX: usize = 2_000;
/// Traces listed at a time.
const PORTION: usize = 200;

/// What is looked for.
pub(super) struct Attribute {
    name: String,
    value: Option<String>,
}

/// The last trace that was looked at: its first moment and its id.
type LookedAt = (u64, TraceId);

impl Attribute {
    /// `name` or `name=value`.
    pub(super) fn read(text: &str) -> Result<Self, Problem> {
        let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
        if name.is_empty() {
            return Err(Problem::BadRequest("attribute: give name or name=value".to_owned()));
        }
        Ok(Self { name: name.to_owned(), value: value.map(str::to_owned) })
    }

    /// The page of a query, of traces that have the attribute; and where to go on if not all could be looked at.
    pub(super) fn search(&self, work: &Work, mut query: TraceQuery) -> Result<(TracePage, Option<LookedAt>), Problem> {
        let store = work.store();
        let (mut skip, wanted) = (query.skip, query.limit);
        (query.skip, query.limit) = (0, PORTION);
        let mut found = TracePage::default();
        let mut looked_at = 0;
        loop {
            let rows = store.traces(&query)?.rows;
            let more = rows.len() == PORTION;
            for row in rows {
                work.wanted()?;
                looked_at += 1;
                query.after = Some((row.first_ns, row.trace_id));
                if !store.trace(row.trace_id)?.iter().any(|span| self.is_in(span)) {
                    continue;
                }
                found.total += 1;
                if skip > 0 {
                    skip -= 1;
                    continue;
                }
                found.rows.push(row);
                if found.rows.len() == wanted {
                    found.total_is_lower_bound = true;
                    return Ok((found, None));
                }
            }
            if !more {
                return Ok((found, None));
            }
            if looked_at >= TRACES_MAX {
                found.total_is_lower_bound = true;
                return Ok((found, query.after));
            }
        }
    }

    fn is_in(&self, reported: &Reported) -> bool {
        let own = reported.span.attribute(&self.name).or_else(|| reported.resource.attribute(&self.name));
        own.is_some_and(|own| self.value.as_ref().is_none_or(|value| says(own, value)))
    }
}

fn says(own: &Value<'_>, value: &str) -> bool {
    match own {
        Value::Str(text) => text == value,
        Value::Int(number) => value.parse() == Ok(*number),
        Value::Double(number) => value.parse() == Ok(*number),
        Value::Bool(yes) => value.parse() == Ok(*yes),
        Value::Empty | Value::Array(_) | Value::Map(_) | Value::Bytes(_) => {
            serde_json::from_str::<serde_json::Value>(value).is_ok_and(|value| value == json(own))
        }
    }
}
