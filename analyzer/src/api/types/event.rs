//! Events as the Raceway server's API has them, and what is found among them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// One event. A span shows as two: its request and its response.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// A UUID, the same at every reading.
    pub id: String,
    /// UUID text.
    pub trace_id: String,
    /// The event that caused it.
    #[schema(required)]
    pub parent_id: Option<String>,
    /// RFC 3339.
    pub timestamp: String,
    /// One key, the kind, over its fields: `{"HttpRequest": {"method": …}}`.
    pub kind: BTreeMap<String, Value>,
    /// Where it happened.
    pub metadata: EventMetadata,
    /// Its vector clock: `["orders#pod-1~7", 3]`.
    pub causality_vector: Vec<(String, u64)>,
    /// Locks that were held.
    pub lock_set: Vec<String>,
}

/// Where an event happened.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct EventMetadata {
    /// The thread, or for a span of a sidecar the strand: what runs one after the other.
    pub thread_id: String,
    /// The process; 0 where nobody said.
    pub process_id: u32,
    /// The service.
    pub service_name: String,
    /// The environment; empty where nobody said.
    pub environment: String,
    /// Attributes as text.
    pub tags: BTreeMap<String, String>,
    /// How long it took, ns.
    #[schema(required)]
    pub duration_ns: Option<u64>,
    /// The instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// The span it belongs to, 16 hex digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distributed_span_id: Option<String>,
    /// The caller's span, 16 hex digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_span_id: Option<String>,
}

/// One access to a shared variable.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct VariableAccess {
    /// The event.
    pub event_id: String,
    /// RFC 3339.
    pub timestamp: String,
    /// The thread.
    pub thread_id: String,
    /// The service.
    pub service_name: String,
    /// `Read`, `Write`, …
    pub access_type: String,
    /// Before.
    pub old_value: Value,
    /// After.
    pub new_value: Value,
    /// `file:line`.
    pub location: String,
    /// Whether the access before this one is known to have happened before it.
    pub has_causal_link_to_previous: bool,
    /// Whether it races with another.
    pub is_race: bool,
}

/// Races and other oddities of one trace.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct TraceAnalysis {
    /// Pairs of accesses to one variable that did not know of each other.
    pub concurrent_events: u64,
    /// How many of them may be races.
    pub potential_races: u64,
    /// In words.
    pub anomalies: Vec<String>,
    /// The races.
    pub race_details: Vec<RaceDetail>,
}

/// Two accesses to one variable in no order, at least one of them a write.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RaceDetail {
    /// `CRITICAL`, `WARNING` or `INFO`.
    pub severity: String,
    /// The variable.
    pub variable: String,
    /// Where the first ran.
    pub event1_thread: String,
    /// Where the second ran.
    pub event2_thread: String,
    /// `file:line` of the first.
    pub event1_location: String,
    /// `file:line` of the second.
    pub event2_location: String,
    /// In words.
    pub description: String,
}

/// Events of one trace that took unusually long.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TraceAnomalies {
    /// UUID text.
    pub trace_id: String,
    /// How many.
    pub anomaly_count: u64,
    /// Which.
    pub anomalies: Vec<Anomaly>,
}

/// An event that took unusually long.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Anomaly {
    /// The event.
    pub event_id: String,
    /// Its kind.
    pub event_kind: String,
    /// How bad.
    pub severity: AnomalySeverity,
    /// How long it took.
    pub actual_duration_ms: f64,
    /// How long it usually takes.
    pub expected_duration_ms: f64,
    /// How many standard deviations apart.
    pub std_dev_from_mean: f64,
    /// In words.
    pub description: String,
    /// `file:line` or an operation.
    pub location: String,
    /// RFC 3339.
    pub timestamp: String,
}

/// How bad an anomaly is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum AnomalySeverity {
    /// Worth knowing.
    Minor,
    /// Worth a look.
    Warning,
    /// Worth a look now.
    Critical,
}

/// Running totals over all traces.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct GlobalAnalysis {
    /// Traces kept.
    pub total_traces: u64,
    /// Events kept.
    pub total_events: u64,
    /// Pairs of accesses to one variable that did not know of each other.
    pub concurrent_events: u64,
    /// How many of them may be races.
    pub potential_races: u64,
    /// In words.
    pub anomalies: Vec<String>,
    /// The races.
    pub race_details: Vec<GlobalRaceDetail>,
}

/// A race between two traces.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct GlobalRaceDetail {
    /// Its trace on the one side.
    pub trace1_id: String,
    /// Its trace on the other side.
    pub trace2_id: String,
    /// When the first happened, RFC 3339.
    pub event1_timestamp: String,
    /// When the second happened, RFC 3339.
    pub event2_timestamp: String,
    /// The two accesses.
    #[serde(flatten)]
    pub race: RaceDetail,
}
