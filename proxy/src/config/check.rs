//! One setting after the other: what is wrong is written down, and the next is looked at.
//!
//! Settings with rules of their own have them beside their type: [`super::identity`], [`super::listeners`],
//! [`super::redirected`], [`super::tls`].

use raceway_analyzer_client::{Compression, Endpoint, InvalidEndpoint, Protocol};

use super::{ConfigError, Problem, Propagators, given, otel, values};

/// Where `raceway-analyzer` shows its page unless told otherwise.
const PAGE_PORT: u16 = 8080;

/// Collects mistakes, so that the operator mends them in one go.
#[derive(Default)]
pub(super) struct Check {
    pub(super) errors: Vec<ConfigError>,
    pub(super) warnings: Vec<String>,
}

/// Reads an environment variable that is not the sidecar's own.
pub(super) type Variable<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Check {
    pub(super) fn problem(&mut self, setting: &'static str, value: &str, problem: Problem) {
        self.errors.push(ConfigError::Value { setting, value: value.to_owned(), problem });
    }

    pub(super) fn value<T>(
        &mut self,
        setting: &'static str,
        text: &str,
        parse: impl FnOnce(&str) -> Result<T, Problem>,
    ) -> Option<T> {
        parse(text.trim()).map_err(|problem| self.problem(setting, text, problem)).ok()
    }

    pub(super) fn optional<T>(
        &mut self,
        setting: &'static str,
        text: Option<String>,
        parse: impl FnOnce(&str) -> Result<T, Problem>,
    ) -> Option<T> {
        given(text).and_then(|text| self.value(setting, &text, parse))
    }

    pub(super) fn list<T>(
        &mut self,
        setting: &'static str,
        texts: Vec<String>,
        mut parse: impl FnMut(&str) -> Result<T, Problem>,
    ) -> Vec<T> {
        let texts = texts.into_iter().filter_map(|text| given(Some(text)));
        texts.filter_map(|text| self.value(setting, &text, &mut parse)).collect()
    }

    /// Whether one of these settings was given with a mistake: then it is not missing.
    pub(super) fn saw(&self, settings: &[&str]) -> bool {
        self.errors
            .iter()
            .any(|error| matches!(error, ConfigError::Value { setting, .. } if settings.contains(setting)))
    }

    /// How many threads; more than there are cores is taken, as a test or a burst may want it, but told.
    pub(super) fn threads(&mut self, text: &str) -> Option<usize> {
        let threads = self.value("--threads", text, values::threads)?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        if threads > cores {
            let warning = format!(
                "--threads {threads}: this process may use {cores} of the host's cores; threads beyond them only cost"
            );
            self.warnings.push(warning);
        }
        Some(threads)
    }

    pub(super) fn sample(&mut self, flag: Option<String>, variable: Variable) -> Option<f64> {
        if let Some(text) = flag {
            return self.value("--sample", &text, values::ratio);
        }
        let Some(sampler) = variable("OTEL_TRACES_SAMPLER") else { return Some(1.0) };
        let argument = variable("OTEL_TRACES_SAMPLER_ARG");
        match otel::sampler(&sampler, argument.as_deref()) {
            Ok(Some(ratio)) => Some(ratio),
            Ok(None) => {
                self.warnings.push(format!("OTEL_TRACES_SAMPLER={sampler} is not known here: everything is sampled"));
                Some(1.0)
            }
            Err(problem) => {
                self.problem("OTEL_TRACES_SAMPLER_ARG", &argument.unwrap_or_default(), problem);
                None
            }
        }
    }

    pub(super) fn propagators(&mut self, flag: Vec<String>, variable: Variable) -> Option<Propagators> {
        let mut chosen = Propagators::default();
        if !self.list("--propagators", flag, |name| chosen.add(name)).is_empty() || self.saw(&["--propagators"]) {
            return Some(chosen);
        }
        let Some(list) = variable("OTEL_PROPAGATORS") else {
            for name in Propagators::DEFAULT.split(',') {
                self.value("--propagators", name, |name| chosen.add(name))?;
            }
            return Some(chosen);
        };
        let (chosen, unknown) = otel::propagators(&list);
        for name in unknown {
            self.warnings.push(format!("OTEL_PROPAGATORS: {name} is not known here and is left out"));
        }
        Some(chosen)
    }

    pub(super) fn analyzer(
        &mut self,
        url: Option<String>,
        compression: Option<String>,
        variable: Variable,
    ) -> Option<Endpoint> {
        let (setting, found) = match url {
            Some(url) => ("--analyzer", Endpoint::parse(&url, Protocol::Grpc).map(Some)),
            None => ("OTEL_EXPORTER_OTLP_*", Endpoint::from_otel(variable)),
        };
        // What `raceway-analyzer` listens on unless told otherwise.
        let found =
            found.and_then(|it| it.map_or_else(|| Endpoint::parse("http://127.0.0.1:4317", Protocol::Grpc), Ok));
        let endpoint = found.map_err(|error| self.errors.push(ConfigError::Analyzer { setting, error })).ok();
        if let Some(endpoint) = &endpoint
            && endpoint.port() == PAGE_PORT
        {
            let warning = format!(
                "{setting} {endpoint}: {PAGE_PORT} looks like the port of the analyzer's page; spans go to 4317 (--otlp-grpc of the analyzer)"
            );
            self.warnings.push(warning);
        }
        let Some(text) = compression else { return endpoint };
        let chosen = text.parse::<Compression>().map_err(|error: InvalidEndpoint| {
            self.errors.push(ConfigError::Analyzer { setting: "--compression", error });
        });
        Some(endpoint?.with_compression(chosen.ok()?))
    }
}
