//! Finding traces by what is in their spans: an attribute, or a call from one service to another. The store has no index
//! of these, so this looks into traces one by one, newest first, as far as one request may; the cursor goes on from there.

use std::collections::HashMap;

use raceway_analyzer_client::{Reported, Value};
use raceway_trace::TraceId;

use crate::analysis::facts::peer_of_call;
use crate::api::Work;
use crate::api::problem::Problem;
use crate::api::query::TraceFilter;
use crate::api::shown::json;
use crate::store::{TracePage, TraceQuery, TraceRow};

/// Traces looked into per request: some tenths of a second of reading.
const TRACES_MAX: usize = 2_000;
/// Rows looked at per request; most are passed over for the services in them, which costs little.
const ROWS_MAX: usize = 20_000;
/// Traces listed at a time.
const PORTION: usize = 200;

/// What is looked for in a trace's spans.
pub(super) struct Search {
    attribute: Option<Attribute>,
    call: Option<Call>,
}

/// The last trace that was looked at: its first moment and its id.
type LookedAt = (u64, TraceId);

impl Search {
    /// What a filter asks for that only the spans tell; `None` if nothing.
    pub(super) fn read(filter: &TraceFilter) -> Result<Option<Self>, Problem> {
        let attribute = filter.attribute.as_deref().map(Attribute::read).transpose()?;
        let call = match (&filter.caller, &filter.callee) {
            (Some(caller), Some(callee)) => Some(Call { caller: caller.clone(), callee: callee.clone() }),
            (None, None) => None,
            _ => return Err(Problem::BadRequest("caller and callee: give both; service finds one of them".to_owned())),
        };
        Ok((attribute.is_some() || call.is_some()).then_some(Self { attribute, call }))
    }

    /// The page of a query, of traces that have it; and where to go on if not all could be looked at.
    pub(super) fn page(&self, work: &Work, mut query: TraceQuery) -> Result<(TracePage, Option<LookedAt>), Problem> {
        let store = work.store();
        let (mut skip, wanted) = (query.skip, query.limit);
        (query.skip, query.limit) = (0, PORTION);
        let mut found = TracePage::default();
        let (mut passed, mut looked_into) = (0, 0);
        loop {
            let rows = store.traces(&query)?.rows;
            let more = rows.len() == PORTION;
            for row in rows {
                work.wanted()?;
                passed += 1;
                query.after = Some((row.first_ns, row.trace_id));
                if !self.may_be_in(&row) {
                    continue;
                }
                looked_into += 1;
                if !self.is_in(&store.trace(row.trace_id)?) {
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
            if looked_into >= TRACES_MAX || passed >= ROWS_MAX {
                found.total_is_lower_bound = true;
                return Ok((found, query.after));
            }
        }
    }

    fn may_be_in(&self, row: &TraceRow) -> bool {
        self.call
            .as_ref()
            .is_none_or(|call| row.services.iter().any(|name| *name == call.caller || *name == call.callee))
    }

    fn is_in(&self, spans: &[Reported]) -> bool {
        self.attribute.as_ref().is_none_or(|attribute| spans.iter().any(|span| attribute.is_in(span)))
            && self.call.as_ref().is_none_or(|call| call.is_in(spans))
    }
}

struct Attribute {
    name: String,
    value: Option<String>,
}

impl Attribute {
    /// `name` or `name=value`.
    fn read(text: &str) -> Result<Self, Problem> {
        let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
        if name.is_empty() {
            return Err(Problem::BadRequest("attribute: give name or name=value".to_owned()));
        }
        Ok(Self { name: name.to_owned(), value: value.map(str::to_owned) })
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

/// A call from one service to another, as an edge of the graph has it.
struct Call {
    caller: String,
    callee: String,
}

impl Call {
    /// Told by the caller, who names whom it calls; by the callee's sidecar, which was told who calls; or by a span and
    /// its parent.
    fn is_in(&self, spans: &[Reported]) -> bool {
        let service = |reported: &Reported| reported.resource.service_name().map(str::to_owned);
        let by_id: HashMap<_, _> = spans.iter().map(|reported| (reported.span.span_id, service(reported))).collect();
        spans.iter().any(|reported| {
            let span = &reported.span;
            let own = reported.resource.service_name();
            if own == Some(&*self.caller) && peer_of_call(span) == Some(&*self.callee) {
                return true;
            }
            let told = span.attribute("raceway.caller.service").and_then(|name| name.as_str());
            let parent = || span.parent_span_id.and_then(|id| by_id.get(&id)?.as_deref());
            own == Some(&*self.callee)
                && self.caller != self.callee
                && (told == Some(&*self.caller) || parent() == Some(&*self.caller))
        })
    }
}
