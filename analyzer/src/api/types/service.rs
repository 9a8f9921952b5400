//! Services, the edges between them, their health, and how fast they are.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{LinkCounts, Overflow};

/// All services seen in the window.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ServiceList {
    /// How many.
    pub total_services: u64,
    /// Which, by name.
    pub services: Vec<Service>,
}

/// One service.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Service {
    /// `service.name`.
    pub name: String,
    /// Events of it in the window.
    pub event_count: u64,
    /// Traces it took part in, in the window.
    pub trace_count: u64,
    /// Requests it answered in the window.
    pub requests: u64,
    /// Of these, failed.
    pub errors: u64,
    /// Requests per second.
    pub rate: f64,
    /// Errors per request, 0 to 1.
    pub error_rate: f64,
    /// Half of its requests were answered at least this fast.
    #[schema(required)]
    pub p50_ms: Option<f64>,
    /// 95 of 100.
    #[schema(required)]
    pub p95_ms: Option<f64>,
    /// 99 of 100.
    #[schema(required)]
    pub p99_ms: Option<f64>,
    /// When a span of it last ended, RFC 3339.
    pub last_seen: String,
    /// `deployment.environment.name`; `null` where nobody said.
    #[schema(required)]
    pub environment: Option<String>,
    /// `service.namespace`; `null` where nobody said.
    #[schema(required)]
    pub namespace: Option<String>,
    /// `service.version` of the last span.
    #[schema(required)]
    pub version: Option<String>,
    /// Instances seen in the window (the first 64).
    pub instances: Vec<String>,
}

/// The health of one service.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ServiceHealth {
    /// `service.name`.
    pub name: String,
    /// `service.namespace`; `null` where nobody said.
    #[schema(required)]
    pub namespace: Option<String>,
    /// `deployment.environment.name`; `null` where nobody said.
    #[schema(required)]
    pub environment: Option<String>,
    /// The verdict.
    pub status: HealthStatus,
    /// Traces it took part in, in the window.
    pub trace_count: u64,
    /// When a span of it last ended, RFC 3339.
    pub last_activity: String,
    /// Events per trace.
    pub avg_events_per_trace: f64,
    /// Minutes since its last activity.
    pub minutes_since_last_activity: u64,
    /// Requests per second.
    pub rate: f64,
    /// Errors per request, 0 to 1.
    pub error_rate: f64,
    /// Half of its requests were answered at least this fast.
    #[schema(required)]
    pub p50_ms: Option<f64>,
    /// 95 of 100.
    #[schema(required)]
    pub p95_ms: Option<f64>,
    /// 99 of 100.
    #[schema(required)]
    pub p99_ms: Option<f64>,
    /// What is usual for it; `null` while that is not known.
    #[schema(required)]
    pub baseline: Option<Baseline>,
    /// What is wrong, and what to do.
    pub findings: Vec<Finding>,
}

/// A verdict on a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// Nothing is wrong.
    Healthy,
    /// Worth a look.
    Warning,
    /// Worth a look now.
    Critical,
}

/// What is usual for a service.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Baseline {
    /// Errors per request.
    pub error_rate: f64,
    /// Half of its requests.
    pub p50_ms: f64,
    /// 95 of 100.
    pub p95_ms: f64,
}

/// Something wrong, and what to do.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// `errors`, `silent`, …
    pub kind: String,
    /// What is wrong.
    pub text: String,
    /// What to do.
    pub action: String,
    /// What it was read from.
    pub evidence: String,
}

/// Who a service calls, and who calls it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ServiceDependencies {
    /// The service.
    pub service_name: String,
    /// Whom it calls.
    pub calls_to: Vec<ServiceDependency>,
    /// Who calls it; `to` names the caller.
    pub called_by: Vec<ServiceDependency>,
}

/// One neighbour of a service.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ServiceDependency {
    /// The neighbour.
    pub to: String,
    /// `service.namespace`; `null` where nobody said.
    #[schema(required)]
    pub namespace: Option<String>,
    /// `deployment.environment.name`; `null` where nobody said.
    #[schema(required)]
    pub environment: Option<String>,
    /// Calls.
    pub total_calls: u64,
    /// Traces with such a call; one in which they spoke in two ways (HTTP and TCP, say) counts for both.
    pub trace_count: u64,
    /// Calls that failed.
    pub errors: u64,
    /// Errors per call, 0 to 1.
    pub error_rate: f64,
    /// Half of the calls took at most this long.
    #[schema(required)]
    pub p50_ms: Option<f64>,
    /// 95 of 100.
    #[schema(required)]
    pub p95_ms: Option<f64>,
    /// 99 of 100.
    #[schema(required)]
    pub p99_ms: Option<f64>,
    /// When the last one ended, RFC 3339.
    pub last_seen: String,
}

/// The dependency graph of a time window.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct EdgeList {
    /// How many edges there are.
    pub total_edges: u64,
    /// The edges, by caller and callee.
    pub edges: Vec<Edge>,
    /// The nodes: services, and peers known by name or address only.
    pub nodes: Vec<Node>,
    /// Services that were called from outside: no sidecar or SDK reported the caller.
    pub entry_points: Vec<EntryPoint>,
    /// Calls by how sure their cause is.
    pub links: LinkCounts,
    /// The window's begin, RFC 3339.
    pub since: String,
    /// The window's end, RFC 3339.
    pub until: String,
    /// What was left out because a bound was reached, since the analyzer started.
    pub overflow: Overflow,
}

/// Calls from one service to another.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Edge {
    /// The caller.
    pub from_service: String,
    /// The callee.
    pub to_service: String,
    /// `deployment.environment.name` of the caller; `null` where nobody said.
    #[schema(required)]
    pub environment: Option<String>,
    /// `service.namespace` of the caller; `null` where nobody said.
    #[schema(required)]
    pub from_namespace: Option<String>,
    /// `service.namespace` of the callee; `null` where nobody said.
    #[schema(required)]
    pub to_namespace: Option<String>,
    /// `deployment.environment.name` of the callee; `null` where nobody said.
    #[schema(required)]
    pub to_environment: Option<String>,
    /// What kind of call: `Http`, `Rpc`, `Database`, `Message`, `Tcp`.
    pub link_type: String,
    /// Calls: those seen as spans, or as counted by the sidecars where that is more (unsampled or lost spans).
    pub call_count: u64,
    /// Calls that failed.
    pub errors: u64,
    /// Errors per call, 0 to 1.
    pub error_rate: f64,
    /// Calls per second.
    pub rate: f64,
    /// Half of the calls took at most this long, seen from the caller where it reported.
    #[schema(required)]
    pub p50_ms: Option<f64>,
    /// 95 of 100.
    #[schema(required)]
    pub p95_ms: Option<f64>,
    /// 99 of 100.
    #[schema(required)]
    pub p99_ms: Option<f64>,
    /// Bytes of request and response bodies.
    pub bytes: u64,
    /// What was spoken, the commonest first.
    pub protocols: Vec<String>,
    /// Calls by how sure their cause is.
    pub certainty: LinkCounts,
    /// Traces with such a call.
    pub trace_count: u64,
    /// When the last one ended, RFC 3339.
    pub last_seen: String,
    /// Calls seen as spans.
    pub spans_seen: u64,
    /// Calls as counted by the sidecars; `null` where none reported counters.
    #[schema(required)]
    pub counted: Option<u64>,
}

/// A node of the dependency graph.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Node {
    /// A service's name, or a peer's name or address.
    pub name: String,
    /// `deployment.environment.name`; `null` where nobody said.
    #[schema(required)]
    pub environment: Option<String>,
    /// `service.namespace`; `null` where nobody said.
    #[schema(required)]
    pub namespace: Option<String>,
    /// Known by name or address only: nothing in it reports.
    #[serde(rename = "virtual")]
    pub is_virtual: bool,
    /// Requests it answered; of a virtual node, calls to it.
    pub requests: u64,
    /// Of these, failed.
    pub errors: u64,
    /// Errors per request, 0 to 1.
    pub error_rate: f64,
    /// Requests per second.
    pub rate: f64,
    /// Half of its requests were answered at least this fast.
    #[schema(required)]
    pub p50_ms: Option<f64>,
    /// 95 of 100.
    #[schema(required)]
    pub p95_ms: Option<f64>,
    /// 99 of 100.
    #[schema(required)]
    pub p99_ms: Option<f64>,
    /// The verdict; `null` for a virtual node.
    #[schema(required)]
    pub status: Option<HealthStatus>,
}

/// Calls into a service from outside.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct EntryPoint {
    /// The service.
    pub service: String,
    /// `service.namespace`; `null` where nobody said.
    #[schema(required)]
    pub namespace: Option<String>,
    /// `deployment.environment.name`; `null` where nobody said.
    #[schema(required)]
    pub environment: Option<String>,
    /// Calls.
    pub call_count: u64,
    /// Calls that failed.
    pub errors: u64,
    /// Half of the calls took at most this long.
    #[schema(required)]
    pub p50_ms: Option<f64>,
    /// 95 of 100.
    #[schema(required)]
    pub p95_ms: Option<f64>,
    /// 99 of 100.
    #[schema(required)]
    pub p99_ms: Option<f64>,
    /// When the last one ended, RFC 3339.
    pub last_seen: String,
}
