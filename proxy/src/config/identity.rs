//! Who reports.

use std::sync::Arc;

use raceway_analyzer_client::Resource;
use serde::Serialize;

use super::check::{Check, Variable};
use super::{Args, ConfigError, given, otel, values};

/// Who this sidecar speaks for: the resource attributes of everything it reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// `service.name`.
    pub service: Arc<str>,
    /// `service.namespace`.
    pub namespace: Option<Arc<str>>,
    /// `deployment.environment.name`.
    pub environment: Option<Arc<str>>,
    /// `service.version`.
    pub version: Option<Arc<str>>,
    /// `service.instance.id`: the instance's name and 8 hex digits that are new at every start.
    pub instance: Arc<str>,
    /// `host.name`.
    pub host: Arc<str>,
    /// What else `OTEL_RESOURCE_ATTRIBUTES` names.
    pub attributes: Vec<(String, String)>,
}

impl Identity {
    /// The resource that all spans of this process share.
    pub fn resource(&self) -> Resource {
        let named = [
            ("service.namespace", &self.namespace),
            ("deployment.environment.name", &self.environment),
            ("service.version", &self.version),
        ];
        let mut resource = Resource::new(self.service.to_string());
        for (name, value) in named {
            if let Some(value) = value {
                resource = resource.with(name, value.to_string());
            }
        }
        resource = resource
            .with("service.instance.id", self.instance.to_string())
            .with("host.name", self.host.to_string())
            .with("telemetry.sdk.name", "raceway");
        for (name, value) in &self.attributes {
            resource = resource.with(name.clone(), value.clone());
        }
        resource
    }
}

impl Check {
    pub(super) fn identity(&mut self, args: &Args, variable: Variable) -> Option<Identity> {
        let mut attributes = match variable("OTEL_RESOURCE_ATTRIBUTES") {
            Some(text) => otel::ResourceAttributes::parse(&text).unwrap_or_else(|| {
                self.warnings.push("OTEL_RESOURCE_ATTRIBUTES is not key=value,key=value: ignored".to_owned());
                otel::ResourceAttributes::default()
            }),
            None => otel::ResourceAttributes::default(),
        };
        let mut named = |flag: &'static str, text: &Option<String>, keys: &[&str]| {
            // All keys are taken out, also when the flag is given: an attribute must not contradict it.
            let attribute = keys.iter().filter_map(|key| attributes.take(key)).fold(None, |_, last| Some(last));
            match given(text.clone()) {
                Some(text) => self.value(flag, &text, |text| values::service_name(text).map(Arc::from)),
                None => given(attribute).and_then(|text| {
                    self.value("OTEL_RESOURCE_ATTRIBUTES", &text, |text| values::service_name(text).map(Arc::from))
                }),
            }
        };
        let namespace = named("--namespace", &args.namespace, &["service.namespace"]);
        // The older name is read too: many deployments still set it.
        let environment =
            named("--environment", &args.environment, &["deployment.environment", "deployment.environment.name"]);
        let version = named("--service-version", &args.service_version, &["service.version"]);
        let instance = named("--instance", &args.instance, &["service.instance.id"]);
        let host = named("", &None, &["host.name"]).unwrap_or_else(host_name);
        let service = given(args.service.clone()).or_else(|| variable("OTEL_SERVICE_NAME"));
        let service = named("--service", &service, &["service.name"]);
        attributes.take("telemetry.sdk.name");
        if service.is_none() && !self.saw(&["--service", "OTEL_RESOURCE_ATTRIBUTES"]) {
            self.errors.push(ConfigError::NoService);
        }
        let instance = format!("{}-{:08x}", instance.unwrap_or_else(|| host.clone()), random()).into();
        Some(Identity {
            service: service?,
            namespace,
            environment,
            version,
            instance,
            host,
            attributes: attributes.rest(),
        })
    }
}

fn host_name() -> Arc<str> {
    let name = rustix::system::uname().nodename().to_string_lossy().replace(['#', '~'], "-");
    if name.is_empty() { "host".into() } else { name.into() }
}

/// 32 bits that differ between two runs.
fn random() -> u32 {
    let mut bytes = [0; 4];
    // Early at boot the pool may not be ready; the process id and the clock still tell two runs apart.
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::NONBLOCK) {
        Ok(4) => u32::from_ne_bytes(bytes),
        _ => {
            let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
            std::process::id().rotate_left(16) ^ now.subsec_nanos()
        }
    }
}
