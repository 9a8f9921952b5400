//! How fast everything is, and where most happens.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How fast everything is.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PerformanceMetrics {
    /// Whole traces, from the latest ones.
    pub trace_latency: TraceLatency,
    /// Events by kind.
    pub event_performance: EventPerformance,
    /// Services, the slowest first.
    pub service_latency: Vec<ServiceLatency>,
    /// How much comes in.
    pub throughput: Throughput,
}

/// How long traces take.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct TraceLatency {
    /// On average.
    pub avg_ms: f64,
    /// Half of them.
    pub p50_ms: f64,
    /// 95 of 100.
    pub p95_ms: f64,
    /// 99 of 100.
    pub p99_ms: f64,
    /// The slowest.
    pub slowest_traces: Vec<SlowTrace>,
}

/// A slow trace.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SlowTrace {
    /// UUID text.
    pub trace_id: String,
    /// How long it took.
    pub duration_ms: f64,
    /// Who took part.
    pub services: Vec<String>,
}

/// Events by kind.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct EventPerformance {
    /// One row per kind.
    pub by_type: Vec<EventTypePerformance>,
}

/// Events of one kind.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct EventTypePerformance {
    /// The kind.
    #[serde(rename = "type")]
    pub kind: String,
    /// How many.
    pub count: u64,
    /// How long on average.
    pub avg_duration_ms: f64,
}

/// How long a service takes.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ServiceLatency {
    /// The service.
    pub service: String,
    /// `service.namespace`; `null` where nobody said.
    #[schema(required)]
    pub namespace: Option<String>,
    /// `deployment.environment.name`; `null` where nobody said.
    #[schema(required)]
    pub environment: Option<String>,
    /// Its events.
    pub event_count: u64,
    /// How long a request takes on average.
    pub avg_duration_ms: f64,
}

/// How much comes in.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Throughput {
    /// Events per second.
    pub events_per_second: f64,
    /// Traces per second.
    pub traces_per_second: f64,
    /// Over how many seconds.
    pub time_range_seconds: f64,
}

/// Where most happens.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Hotspots {
    /// The variables that are used most.
    pub top_variables: Vec<VariableHotspot>,
    /// The calls that are made most.
    pub top_service_calls: Vec<ServiceCallHotspot>,
}

/// A variable that is used much.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct VariableHotspot {
    /// The variable.
    pub variable: String,
    /// Accesses.
    pub access_count: u64,
    /// Traces with an access.
    pub trace_count: u64,
    /// By whom.
    pub services: Vec<String>,
}

/// A call that is made much.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ServiceCallHotspot {
    /// The caller.
    pub from_service: String,
    /// The callee.
    pub to_service: String,
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

/// Races across traces.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct GlobalRaces {
    /// How many.
    pub total_races: u64,
    /// Which.
    pub races: Vec<GlobalRace>,
}

/// A variable that traces race for.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct GlobalRace {
    /// The variable.
    pub variable: String,
    /// Traces with an access.
    pub trace_count: u64,
    /// Accesses.
    pub access_count: u64,
    /// `Read`, `Write`, …
    pub access_types: Vec<String>,
    /// Threads with an access.
    pub thread_count: u64,
    /// `CRITICAL`, `WARNING` or `INFO`.
    pub severity: String,
    /// Some of the traces.
    pub trace_ids: Vec<String>,
}
