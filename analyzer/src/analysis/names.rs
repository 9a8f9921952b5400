//! Services under one identity each: an SDK that says less than the sidecar beside it is still the same service.

use std::collections::HashMap;
use std::sync::Arc;

use super::facts::Identity;

/// Who is meant by an identity that says less than another: the only one of that name that it fits.
#[derive(Debug, Default)]
pub(crate) struct Names {
    services: HashMap<Arc<str>, Vec<Arc<Identity>>>,
}

impl Names {
    /// Of services that are all different.
    pub(crate) fn new<'a>(all: impl IntoIterator<Item = &'a Arc<Identity>>) -> Self {
        let mut services: HashMap<Arc<str>, Vec<Arc<Identity>>> = HashMap::new();
        for service in all {
            services.entry(service.name.clone()).or_default().push(service.clone());
        }
        Self { services }
    }

    /// Who is meant.
    pub(crate) fn of(&self, identity: &Arc<Identity>) -> Arc<Identity> {
        let said = |identity: &Identity| {
            usize::from(identity.namespace.is_some()) + usize::from(identity.environment.is_some())
        };
        let mut fits = self
            .services
            .get(&identity.name)
            .into_iter()
            .flatten()
            .filter(|service| service.is(identity) && said(service) > said(identity));
        match (fits.next(), fits.next()) {
            (Some(only), None) => only.clone(),
            _ => identity.clone(),
        }
    }
}
