//! OpenTelemetry's environment variables, which stand in for flags that nobody gave.
//!
//! They are often set for the application in the same pod, so what this sidecar cannot use in them becomes a warning
//! where OpenTelemetry's specification says so, and an error only where a service would report under a wrong name or
//! to nowhere.

use super::values::Propagators;
use super::{Problem, given, values};

/// Attributes of `OTEL_RESOURCE_ATTRIBUTES` in the order in which they stand, last one of a name winning.
#[derive(Debug, Default)]
pub(super) struct ResourceAttributes(Vec<(String, String)>);

impl ResourceAttributes {
    /// `key=value,key=value` with percent-encoded values. One malformed pair makes the whole value be discarded, as the
    /// specification demands.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty()).map(|pair| {
            let (key, value) = pair.split_once('=')?;
            let key = key.trim();
            (!key.is_empty()).then_some(())?;
            Some((percent_decoded(key)?, percent_decoded(value.trim())?))
        });
        pairs.collect::<Option<_>>().map(Self)
    }

    /// Takes an attribute out, so that what remains is what no flag stands for.
    pub(super) fn take(&mut self, key: &str) -> Option<String> {
        let mut found = None;
        self.0.retain_mut(|(name, value)| {
            if name != key {
                return true;
            }
            found = Some(std::mem::take(value));
            false
        });
        found
    }

    /// What is left.
    pub(super) fn rest(self) -> Vec<(String, String)> {
        self.0
    }
}

/// Whether one of these variables says what a flag would, so that the file's word does not count.
pub(super) fn stands_in(flag: &str, environment: &dyn Fn(&str) -> Option<String>) -> bool {
    let set = |name: &str| given(environment(name)).is_some();
    let attribute = |names: &[&str]| {
        let attributes =
            given(environment("OTEL_RESOURCE_ATTRIBUTES")).and_then(|text| ResourceAttributes::parse(&text));
        attributes.is_some_and(|attributes| attributes.0.iter().any(|(name, _)| names.contains(&name.as_str())))
    };
    match flag {
        "service" => set("OTEL_SERVICE_NAME") || attribute(&["service.name"]),
        "namespace" => attribute(&["service.namespace"]),
        "environment" => attribute(&["deployment.environment", "deployment.environment.name"]),
        "service-version" => attribute(&["service.version"]),
        "instance" => attribute(&["service.instance.id"]),
        "analyzer-ca" => set("OTEL_EXPORTER_OTLP_CERTIFICATE"),
        "analyzer-tls-cert" => set("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"),
        "analyzer-tls-key" => set("OTEL_EXPORTER_OTLP_CLIENT_KEY"),
        "analyzer" => set("OTEL_EXPORTER_OTLP_ENDPOINT") || set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"),
        "compression" => set("OTEL_EXPORTER_OTLP_COMPRESSION") || set("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION"),
        "sample" => set("OTEL_TRACES_SAMPLER"),
        "propagators" => set("OTEL_PROPAGATORS"),
        _ => false,
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte == b'%' {
            let (digits, after) = rest.split_first_chunk::<2>()?;
            let digits = std::str::from_utf8(digits).ok().filter(|it| it.bytes().all(|it| it.is_ascii_hexdigit()))?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = after;
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// `OTEL_TRACES_SAMPLER` with `OTEL_TRACES_SAMPLER_ARG`, as a ratio; `Ok(None)` for a sampler that is not known here.
pub(super) fn sampler(name: &str, argument: Option<&str>) -> Result<Option<f64>, Problem> {
    Ok(Some(match name {
        "always_on" | "parentbased_always_on" => 1.0,
        "always_off" | "parentbased_always_off" => 0.0,
        "traceidratio" | "parentbased_traceidratio" => argument.map_or(Ok(1.0), values::ratio)?,
        _ => return Ok(None),
    }))
}

/// `OTEL_PROPAGATORS`, and the names in it that are not known here.
///
/// Ours cannot stand in it, because other SDKs refuse what they do not know: it is on unless the list says `none`.
pub(super) fn propagators(list: &str) -> (Propagators, Vec<&str>) {
    let names = list.split(',').map(str::trim).filter(|name| !name.is_empty());
    let mut chosen = Propagators { raceway: true, ..Propagators::default() };
    let unknown = names.filter(|name| chosen.add(name).is_err()).collect();
    (chosen, unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resource_attributes() {
        let mut attributes =
            ResourceAttributes::parse("service.name=a, team=caf%C3%A9 ,service.name=b,x=,").expect("valid");
        assert_eq!(attributes.take("service.name").as_deref(), Some("b"));
        assert_eq!(attributes.take("service.name"), None);
        let rest: Vec<_> = attributes.rest();
        assert_eq!(rest, [("team".into(), "café".into()), ("x".into(), String::new())]);
        for text in ["a", "=b", "a=%", "a=%zz", "a=%+1", "a=%ff", "a=1,b"] {
            assert!(ResourceAttributes::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn samplers() {
        for (name, argument, ratio) in [
            ("always_on", None, Ok(Some(1.0))),
            ("parentbased_always_off", Some("1"), Ok(Some(0.0))),
            ("traceidratio", Some("0.25"), Ok(Some(0.25))),
            ("parentbased_traceidratio", None, Ok(Some(1.0))),
            ("traceidratio", Some("lots"), Err(Problem::Ratio)),
            ("jaeger_remote", Some("endpoint=x"), Ok(None)),
        ] {
            assert_eq!(sampler(name, argument), ratio, "{name}");
        }
    }

    #[test]
    fn ours_is_on_unless_the_list_says_none() {
        let (chosen, unknown) = propagators("tracecontext, b3,xray");
        assert_eq!(chosen, Propagators { tracecontext: true, b3: true, raceway: true, ..Propagators::default() });
        assert_eq!(unknown, ["xray"]);
        assert_eq!(propagators("none"), (Propagators::default(), vec![]));
    }
}
