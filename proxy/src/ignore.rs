//! `--ignore`: requests that pass like any other but leave no span, such as the probes of an orchestrator.

use serde::Serialize;

use crate::pattern::{InvalidPattern, PathPattern};

/// Probes, as the common frameworks and orchestrators name them. They come every few seconds, say nothing about what
/// users do, and would outnumber the requests of a quiet service.
const PROBES: [&str; 14] = [
    "/live",
    "/livez",
    "/ready",
    "/readyz",
    "/health",
    "/healthz",
    "/health/live",
    "/health/ready",
    "/healthcheck",
    "/startupz",
    "/-/healthy",
    "/-/ready",
    "/actuator/health/**",
    "/grpc.health.v1.Health/*",
];

/// The paths that leave no span.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Ignore(Vec<PathPattern>);

impl Default for Ignore {
    /// The usual probes.
    fn default() -> Self {
        Self(PROBES.iter().filter_map(|text| PathPattern::parse(text).ok()).collect())
    }
}

impl Ignore {
    /// Adds a pattern; `none` drops all that came before, the usual probes included.
    pub fn add(&mut self, text: &str) -> Result<(), InvalidPattern> {
        match text {
            "none" => self.0.clear(),
            _ => self.0.push(PathPattern::parse(text)?),
        }
        Ok(())
    }

    /// Whether a request for this path (without query) leaves no span.
    pub fn matches(&self, path: &str) -> bool {
        self.0.iter().any(|pattern| pattern.matches(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_by_default() {
        let ignore = Ignore::default();
        assert_eq!(ignore.0.len(), PROBES.len());
        for path in ["/livez", "/readyz", "/healthz", "/actuator/health/readiness", "/grpc.health.v1.Health/Check"] {
            assert!(ignore.matches(path), "{path}");
        }
        for path in ["/", "/orders", "/livez/", "/api/healthz", "/healthz2", "*"] {
            assert!(!ignore.matches(path), "{path}");
        }
    }

    #[test]
    fn additions_and_none() {
        let mut ignore = Ignore::default();
        ignore.add("/metrics").expect("a pattern");
        assert!(ignore.matches("/metrics") && ignore.matches("/livez"));
        ignore.add("none").expect("a word");
        ignore.add("/static/**").expect("a pattern");
        assert!(ignore.matches("/static/a.js") && !ignore.matches("/livez"));
        assert_eq!(ignore.add("metrics"), Err(InvalidPattern::NotAPath));
    }
}
