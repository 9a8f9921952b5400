//! Clocks: vector clocks, the order of two spans, and how far the machines' own clocks are apart.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The vector clock of a span: which events of which strands happened before it, as `["orders#pod-1~7", 3]`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SpanClock {
    /// The strand it belongs to, `service#instance~k`.
    pub strand: String,
    /// The strand's own tick when the span began.
    pub start_tick: u64,
    /// The strand's own tick when it was over.
    pub end_tick: u64,
    /// At its start, as the sidecars reported it (over certain and likely links).
    pub start: Vec<(String, u64)>,
    /// When the head of the answer came or went, as the sidecars reported it.
    pub end: Vec<(String, u64)>,
    /// At its start, over the certain links alone: what definite statements rest on.
    pub definite_start: Vec<(String, u64)>,
    /// At its end, over the certain links alone.
    pub definite_end: Vec<(String, u64)>,
}

/// What is known about the clocks of the machines that took part.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Clocks {
    /// Instances whose times are shown corrected. Reported times are kept as they came.
    pub corrections: Vec<ClockCorrection>,
    /// Pairs of instances and how far apart their clocks are.
    pub pairs: Vec<ClockPair>,
}

/// A correction applied to every time of one instance.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ClockCorrection {
    /// The service.
    pub service: String,
    /// The instance.
    pub instance: String,
    /// Added to its times.
    pub correction_ms: f64,
}

/// How far the clock of `b` is ahead of that of `a`: somewhere in the interval.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ClockPair {
    /// The caller's instance, `service#instance`.
    pub a: String,
    /// The callee's instance, `service#instance`.
    pub b: String,
    /// At least this far ahead; `null` while nothing says so.
    #[schema(required)]
    pub theta_min_ms: Option<f64>,
    /// At most this far ahead; `null` while nothing says so.
    #[schema(required)]
    pub theta_max_ms: Option<f64>,
    /// Calls it was worked out from.
    pub samples: u64,
    /// Whether the clocks cannot both be right: 0 lies outside.
    pub skewed: bool,
    /// Whether no single offset fits all calls of the window (a clock was set meanwhile).
    pub inconsistent: bool,
}

/// The order of two spans.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct OrderView {
    /// The first span.
    pub a: String,
    /// The second span.
    pub b: String,
    /// How `a` stands to `b`.
    pub order: OrderWord,
    /// Whether that holds for certain, or over a link that is only likely.
    pub certainty: OrderCertainty,
}

/// How one span stands to another by cause and effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum OrderWord {
    /// It was over before the other began.
    Before,
    /// It is the other.
    Same,
    /// It began after the other was over.
    After,
    /// Neither: they overlapped or did not know of each other.
    Concurrent,
    /// Clocks or spans are missing.
    Unknown,
}

/// How sure an order is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum OrderCertainty {
    /// It follows from certain links alone.
    Definite,
    /// It rests on a likely link.
    Likely,
    /// Nothing can be said.
    Unknown,
}
