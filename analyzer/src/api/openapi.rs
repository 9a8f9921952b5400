//! The OpenAPI document, made from the handlers and the types they answer with.

use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::routing::get;
use utoipa::OpenApi;
use utoipa::openapi::schema::{Array, Schema};
use utoipa::openapi::{Ref, RefOr};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::App;
use super::routes::{distributed, performance, services, status, traces};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Raceway analyzer",
        description = "What happened, in what causal order, and what made it slow. Every answer is `{\"success\", \"data\", \"error\"}`."
    ),
    tags(
        (name = "traces", description = "Requests and what they caused"),
        (name = "services", description = "Who takes part"),
        (name = "distributed", description = "What lies between services"),
        (name = "performance", description = "How fast everything is"),
        (name = "status", description = "How the analyzer itself is")
    )
)]
struct Document;

/// The routes that answer in the envelope, and their description.
pub(super) fn described() -> (Router<App>, utoipa::openapi::OpenApi) {
    let (routes, mut document) = OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(status::health))
        .routes(routes!(status::status))
        .routes(routes!(traces::list))
        .routes(routes!(traces::one))
        .routes(routes!(traces::critical_path))
        .routes(routes!(traces::dependencies))
        .routes(routes!(traces::anomalies))
        .routes(routes!(traces::order))
        .routes(routes!(services::list))
        .routes(routes!(services::health))
        .routes(routes!(services::traces))
        .routes(routes!(services::dependencies))
        .routes(routes!(distributed::edges))
        .routes(routes!(distributed::hotspots))
        .routes(routes!(distributed::global_races))
        .routes(routes!(distributed::analyze_global))
        .routes(routes!(performance::metrics))
        .split_for_parts();
    name_envelopes(&mut document);
    (routes, document)
}

/// Lets the envelopes refer to what they wrap, which the macro spells out once more in each.
fn name_envelopes(document: &mut utoipa::openapi::OpenApi) {
    let Some(components) = &mut document.components else { return };
    let names: Vec<String> = components.schemas.keys().cloned().collect();
    for (name, schema) in &mut components.schemas {
        let Some(wrapped) = name.strip_prefix("Envelope_") else { continue };
        let (wrapped, list) = wrapped.strip_prefix("Vec_").map_or((wrapped, false), |item| (item, true));
        if let RefOr::T(Schema::Object(object)) = schema
            && names.iter().any(|name| name == wrapped)
        {
            let named = Ref::from_schema_name(wrapped);
            let data = if list { RefOr::T(Array::new(named).into()) } else { RefOr::Ref(named) };
            object.properties.insert("data".into(), data);
        }
    }
}

/// The document as text: what `/api/openapi.json` answers and `analyzer/openapi.json` holds.
pub fn text() -> String {
    let mut text = described().1.to_pretty_json().expect("a tree of strings and numbers is always JSON");
    text.push('\n');
    text
}

/// `/api/openapi.json`.
pub(super) fn route() -> Router<App> {
    let text: Arc<str> = text().into();
    Router::new().route(
        "/api/openapi.json",
        get(move || {
            let text = text.clone();
            async move { ([(header::CONTENT_TYPE, "application/json")], text.to_string()) }
        }),
    )
}

#[cfg(test)]
mod tests {
    /// The file that the page's types are made from. `UPDATE=1 cargo test -p raceway-analyzer openapi` writes it.
    #[test]
    fn openapi_document_in_the_repository_is_what_the_types_give() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
        let text = super::text();
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        assert!(kept == text, "{path} is out of date: run UPDATE=1 cargo test -p raceway-analyzer openapi");
    }
}
