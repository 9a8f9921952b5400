//! The critical path of a trace, and who called whom in it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The chain of work that made a trace as slow as it was. Its steps are disjoint and cover the root exactly.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CriticalPath {
    /// UUID text.
    pub trace_id: String,
    /// How many steps there are.
    pub path_events: u64,
    /// The sum of the steps.
    pub total_duration_ms: f64,
    /// From the trace's first moment to its last.
    pub trace_total_duration_ms: f64,
    /// The one of the other.
    pub percentage_of_total: f64,
    /// The steps, in the order of time.
    pub path: Vec<PathStep>,
    /// Each service's share of the path, largest first.
    pub services: Vec<PathShare>,
    /// What would be won if an operation took no time, and how much slack the ones off the path have.
    pub savings: Vec<Saving>,
    /// The smallest probability among the links that hold the path together; 1 when all are certain.
    pub certainty: f64,
    /// Other roots: nobody knows where on the path what lies below them belongs.
    pub orphans: Vec<OrphanRoot>,
}

/// A root beside the one that the path is of.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct OrphanRoot {
    /// Its span id.
    pub span_id: String,
    /// Its service.
    pub service: String,
    /// Its name.
    pub operation: String,
    /// Time from its start to its end.
    pub duration_ms: f64,
    /// A parent is named, but never came.
    pub parent_missing: bool,
}

/// One stretch of the critical path: time spent in one span and in none of its children.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PathStep {
    /// The span's id.
    pub id: String,
    /// `server`, `client`, …
    pub kind: String,
    /// `GET /orders/{id}`.
    pub location: String,
    /// When the stretch began, RFC 3339, clock correction included.
    pub timestamp: String,
    /// How long the stretch is.
    pub duration_ms: f64,
    /// Whose time it is.
    pub service: String,
    /// As `duration_ms`.
    pub self_ms: f64,
    /// Start, ns since the trace's first moment.
    pub start_ns: i64,
    /// End, ns since the trace's first moment.
    pub end_ns: i64,
    /// What the time went into.
    pub part: PathPart,
}

/// What a stretch of the critical path went into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PathPart {
    /// The service's own work.
    Own,
    /// Between caller and callee.
    Network,
    /// In a peer that reports nothing.
    Remote,
}

/// A service's share of a critical path.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PathShare {
    /// The service.
    pub service: String,
    /// `service.namespace`; `null` where nobody said.
    #[schema(required)]
    pub namespace: Option<String>,
    /// `deployment.environment.name`; `null` where nobody said.
    #[schema(required)]
    pub environment: Option<String>,
    /// Its time on the path.
    pub self_ms: f64,
    /// Of the path, 0 to 100.
    pub percentage: f64,
}

/// What making one operation faster would win.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Saving {
    /// The service.
    pub service: String,
    /// `service.namespace`; `null` where nobody said.
    #[schema(required)]
    pub namespace: Option<String>,
    /// `deployment.environment.name`; `null` where nobody said.
    #[schema(required)]
    pub environment: Option<String>,
    /// `GET /orders/{id}`.
    pub operation: String,
    /// What its time went into.
    pub part: PathPart,
    /// Its time on the path.
    pub self_ms: f64,
    /// How much sooner the trace would end if its own work took no time.
    pub saved_if_zero_ms: f64,
    /// How much longer it could take before the trace ends later; 0 on the path.
    pub slack_ms: f64,
}

/// Who called whom in one trace.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TraceDependencies {
    /// UUID text.
    pub trace_id: String,
    /// Who took part.
    pub services: Vec<ServiceEvents>,
    /// Calls by caller and callee.
    pub dependencies: Vec<Dependency>,
}

/// A service and its events in one trace.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ServiceEvents {
    /// The service.
    pub name: String,
    /// `service.namespace`; `null` where nobody said.
    #[schema(required)]
    pub namespace: Option<String>,
    /// `deployment.environment.name`; `null` where nobody said.
    #[schema(required)]
    pub environment: Option<String>,
    /// Its events.
    pub event_count: u64,
}

/// Calls from one service to another.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Dependency {
    /// The caller.
    pub from: String,
    /// The callee.
    pub to: String,
    /// `service.namespace` of the caller; `null` where nobody said.
    #[schema(required)]
    pub from_namespace: Option<String>,
    /// `deployment.environment.name` of the caller; `null` where nobody said.
    #[schema(required)]
    pub from_environment: Option<String>,
    /// `service.namespace` of the callee; `null` where nobody said.
    #[schema(required)]
    pub to_namespace: Option<String>,
    /// `deployment.environment.name` of the callee; `null` where nobody said.
    #[schema(required)]
    pub to_environment: Option<String>,
    /// Calls.
    pub call_count: u64,
}
