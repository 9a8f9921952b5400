//! Traces: the list, one trace, its critical path, its dependencies.

use axum::extract::State;
use raceway_trace::TraceId;

use super::search::Search;
use crate::analysis::path::Path as CriticalWay;
use crate::api::App;
use crate::api::extract::{Params, TraceIn, moment, span_id};
use crate::api::problem::{Answer, Problem};
use crate::api::query::{Pair, TraceFilter, TraceShown};
use crate::api::shown;
use crate::api::types::*;
use crate::store::{TracePage, TraceQuery};

/// Rows per page where nobody says how many.
const PAGE_SIZE: u64 = 20;
/// Rows per page at most: what a table shows and a script still reads at once.
const PAGE_SIZE_MAX: u64 = 1000;

/// Traces, newest first
#[utoipa::path(
    get,
    path = "/api/traces",
    params(TraceFilter),
    responses(
        (status = 200, description = "Traces, newest first", body = Envelope<TraceList>),
        (status = 400, description = "A parameter makes no sense; the text says which", body = Failure)
    ),
    tag = "traces"
)]
pub(in crate::api) async fn list(State(app): State<App>, Params(filter): Params<TraceFilter>) -> Answer {
    let page = PageWanted::read(filter.page, filter.page_size, filter.cursor.as_deref())?;
    let query = page.query(read(&filter)?);
    let search = Search::read(&filter)?;
    let answer = app.answer(move |work| match search {
        None => Ok(page.shown(&work.store().traces(&query)?)),
        Some(search) => {
            let (rows, looked_at) = search.page(work, query)?;
            let shown = page.shown(&rows);
            let next_cursor = shown.next_cursor.or(looked_at.map(|(first_ns, id)| cursor(first_ns, id)));
            Ok(TraceList { next_cursor, ..shown })
        }
    });
    answer.await
}

/// All that is known of one trace
#[utoipa::path(
    get,
    path = "/api/traces/{id}",
    params(("id" = String, Path, description = "A trace id: UUID or 32 hex digits"), TraceShown),
    responses(
        (status = 200, description = "All that is known of one trace", body = Envelope<TraceView>),
        (status = 400, description = "A parameter makes no sense; the text says which", body = Failure),
        (status = 404, description = "There is no such trace", body = Failure)
    ),
    tag = "traces"
)]
pub(in crate::api) async fn one(
    State(app): State<App>,
    TraceIn(id): TraceIn,
    Params(wanted): Params<TraceShown>,
) -> Answer {
    let raw = match wanted.raw.as_deref() {
        None | Some("0" | "false") => false,
        Some("1" | "true" | "") => true,
        Some(other) => return Err(Problem::BadRequest(format!("raw: `{other}` is neither 1 nor 0"))),
    };
    let answer = app.answer(move |work| {
        let trace = work.trace(id, raw)?;
        work.wanted()?;
        Ok(shown::view(&trace, raw))
    });
    answer.await
}

/// What made a trace as slow as it was
#[utoipa::path(
    get,
    path = "/api/traces/{id}/critical-path",
    params(("id" = String, Path, description = "A trace id: UUID or 32 hex digits")),
    responses(
        (status = 200, description = "What made a trace as slow as it was", body = Envelope<CriticalPath>),
        (status = 400, description = "That is no trace id", body = Failure),
        (status = 404, description = "There is no such trace", body = Failure)
    ),
    tag = "traces"
)]
pub(in crate::api) async fn critical_path(State(app): State<App>, TraceIn(id): TraceIn) -> Answer {
    let answer = app.answer(move |work| {
        let trace = work.trace(id, false)?;
        let path = CriticalWay::of(&trace).ok_or(Problem::GivenUp)?;
        Ok(shown::critical_path(&trace, &path))
    });
    answer.await
}

/// Who called whom in a trace
#[utoipa::path(
    get,
    path = "/api/traces/{id}/dependencies",
    params(("id" = String, Path, description = "A trace id: UUID or 32 hex digits")),
    responses(
        (status = 200, description = "Who called whom in a trace", body = Envelope<TraceDependencies>),
        (status = 400, description = "That is no trace id", body = Failure),
        (status = 404, description = "There is no such trace", body = Failure)
    ),
    tag = "traces"
)]
pub(in crate::api) async fn dependencies(State(app): State<App>, TraceIn(id): TraceIn) -> Answer {
    app.answer(move |work| Ok(shown::dependencies(&*work.trace(id, false)?))).await
}

/// Events of a trace that took unusually long
#[utoipa::path(
    get,
    path = "/api/traces/{id}/anomalies",
    params(("id" = String, Path, description = "A trace id: UUID or 32 hex digits")),
    responses(
        (status = 200, description = "Events of a trace that took unusually long", body = Envelope<TraceAnomalies>),
        (status = 400, description = "That is no trace id", body = Failure),
        (status = 404, description = "There is no such trace", body = Failure)
    ),
    tag = "traces"
)]
pub(in crate::api) async fn anomalies(State(app): State<App>, TraceIn(id): TraceIn) -> Answer {
    let answer = app.answer(move |work| {
        let trace_id = work.trace(id, false).map(|_| id.uuid().to_string())?;
        Ok(TraceAnomalies { trace_id, anomaly_count: 0, anomalies: Vec::new() })
    });
    answer.await
}

/// How two spans stand to each other by cause and effect
#[utoipa::path(
    get,
    path = "/api/traces/{id}/order",
    params(("id" = String, Path, description = "A trace id: UUID or 32 hex digits"), Pair),
    responses(
        (status = 200, description = "How two spans stand to each other by cause and effect", body = Envelope<OrderView>),
        (status = 400, description = "A parameter makes no sense; the text says which", body = Failure),
        (status = 404, description = "There is no such trace, or no such span in it", body = Failure)
    ),
    tag = "traces"
)]
pub(in crate::api) async fn order(State(app): State<App>, TraceIn(id): TraceIn, Params(pair): Params<Pair>) -> Answer {
    let (Some(a), Some(b)) = (&pair.a, &pair.b) else {
        let text = "name the two spans to compare: ?a=SPAN&b=SPAN, each 16 hex digits";
        return Err(Problem::BadRequest(text.to_owned()));
    };
    let (a, b) = (span_id(a)?, span_id(b)?);
    let answer = app.answer(move |work| {
        let trace = work.trace(id, false)?;
        let find = |span| {
            let missing = || Problem::NotFound(format!("trace {} has no span {span}", id.uuid()));
            trace.find(span).ok_or_else(missing)
        };
        Ok(shown::order(&trace, find(a)?, find(b)?))
    });
    answer.await
}

fn read(filter: &TraceFilter) -> Result<TraceQuery, Problem> {
    let ns = |name: &str, ms: Option<f64>| match ms {
        Some(ms) if !(0.0..=1e12).contains(&ms) => {
            Err(Problem::BadRequest(format!("{name}: `{ms}` is no duration in milliseconds")))
        }
        ms => Ok(ms.map(|ms| (ms * 1e6).round() as u64)),
    };
    Ok(TraceQuery {
        service: filter.service.clone(),
        operation: filter.operation.clone(),
        duration_min_ns: ns("min_duration_ms", filter.min_duration_ms)?,
        duration_max_ns: ns("max_duration_ms", filter.max_duration_ms)?,
        error: filter.error,
        from_ns: moment("from", filter.from.as_deref())?,
        to_ns: moment("to", filter.to.as_deref())?,
        spans_min: filter.min_events.map(|events| events.div_ceil(2)),
        ..TraceQuery::default()
    })
}

/// Which page of a list is asked for.
pub(super) struct PageWanted {
    page: u64,
    size: u64,
    after: Option<(u64, TraceId)>,
}

impl PageWanted {
    pub(super) fn read(page: Option<u64>, size: Option<u64>, cursor: Option<&str>) -> Result<Self, Problem> {
        let size = size.unwrap_or(PAGE_SIZE);
        if !(1..=PAGE_SIZE_MAX).contains(&size) {
            return Err(Problem::BadRequest(format!("page_size must be 1 to {PAGE_SIZE_MAX}")));
        }
        if page == Some(0) {
            return Err(Problem::BadRequest("pages are counted from 1".to_owned()));
        }
        if page.is_some_and(|page| page > 1) && cursor.is_some() {
            return Err(Problem::BadRequest("give either page or cursor, not both".to_owned()));
        }
        let after = cursor.filter(|cursor| !cursor.is_empty()).map(|cursor| {
            let parts = cursor.split_once('-');
            let read = parts.and_then(|(time, id)| Some((time.parse().ok()?, TraceId::parse(id.as_bytes())?)));
            read.ok_or_else(|| Problem::BadRequest(format!("cursor: `{cursor}` is not one that a page ended with")))
        });
        Ok(Self { page: page.unwrap_or(1), size, after: after.transpose()? })
    }

    /// The query for this page, with one row more to see whether there is another.
    pub(super) fn query(&self, query: TraceQuery) -> TraceQuery {
        let size = usize::try_from(self.size).unwrap_or(usize::MAX);
        let skip = usize::try_from((self.page - 1).saturating_mul(self.size)).unwrap_or(usize::MAX);
        TraceQuery { after: self.after, skip, limit: size + 1, ..query }
    }

    pub(super) fn shown(&self, page: &TracePage) -> TraceList {
        let size = usize::try_from(self.size).unwrap_or(usize::MAX);
        let rows = page.rows.iter().take(size);
        let last = rows.clone().next_back().filter(|_| page.rows.len() > size);
        TraceList {
            total_traces: page.total,
            total_is_lower_bound: page.total_is_lower_bound,
            page: self.page,
            page_size: self.size,
            total_pages: page.total.div_ceil(self.size),
            traces: rows.map(shown::summary).collect(),
            next_cursor: last.map(|row| cursor(row.first_ns, row.trace_id)),
        }
    }
}

fn cursor(first_ns: u64, trace_id: TraceId) -> String {
    format!("{first_ns}-{trace_id}")
}
