//! The web page, embedded, and what is answered where there is no route.

use axum::http::{HeaderMap, Method, Uri};
use axum::response::{IntoResponse, Response};

use super::problem::Problem;

/// First parts of paths that are never the page's.
const NOT_THE_PAGE: [&str; 7] = ["api", "auth", "events", "health", "jaeger", "metrics", "status"];

/// Answers every path that has no route: with a file of the page, with the page itself where the path is one of its
/// views, or with what to do.
pub(super) async fn answer(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path().trim_start_matches('/');
    let first = path.split('/').next().unwrap_or_default();
    if NOT_THE_PAGE.contains(&first) {
        let text = format!("there is no route {}; /api/openapi.json lists those there are", uri.path());
        return Problem::NotFound(text).into_response();
    }
    if method != Method::GET && method != Method::HEAD {
        return Problem::NotAllowed(method).into_response();
    }
    embedded::file(path, &headers)
        .unwrap_or_else(|| Problem::NotFound(format!("there is no page {}", uri.path())).into_response())
}

#[cfg(not(feature = "ui"))]
mod embedded {
    use super::{HeaderMap, Response};

    /// Built without a page.
    pub(super) fn file(_: &str, _: &HeaderMap) -> Option<Response> {
        None
    }
}

#[cfg(feature = "ui")]
mod embedded {
    use axum::body::Body;
    use axum::http::{HeaderValue, StatusCode, header};

    use super::{HeaderMap, Response};

    include!(concat!(env!("OUT_DIR"), "/page.rs"));

    /// One file of the page.
    struct File {
        name: &'static str,
        /// Its `ETag`.
        tag: &'static str,
        plain: &'static [u8],
        br: Option<&'static [u8]>,
        gz: Option<&'static [u8]>,
    }

    /// The page that stands in where npm could not build the real one.
    const NO_PAGE: File =
        File { name: "index.html", tag: "\"none\"", plain: include_bytes!("no_page.html"), br: None, gz: None };

    /// Scripts, data and connections of its own only. Styles may stand in attributes: the graph library sets them.
    const POLICY: &str = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; \
        object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'";

    /// The file at a path. A path without one is a view of the page, unless it looks like a file.
    pub(super) fn file(path: &str, headers: &HeaderMap) -> Option<Response> {
        let named = |name: &str| FILES.iter().find(|file| file.name == name);
        match named(path) {
            Some(file) => Some(file.answer(headers)),
            None if path.rsplit('/').next().is_some_and(|last| last.contains('.')) => None,
            None => Some(named("index.html").unwrap_or(&NO_PAGE).answer(headers)),
        }
    }

    impl File {
        fn answer(&self, headers: &HeaderMap) -> Response {
            let (body, encoding) = self.encoded(headers);
            let mut response = Response::new(Body::from(body));
            let known = headers.get(header::IF_NONE_MATCH).is_some_and(|tags| {
                tags.to_str()
                    .is_ok_and(|tags| tags.split(',').any(|tag| tag.trim().trim_start_matches("W/") == self.tag))
            });
            if known {
                *response.body_mut() = Body::empty();
                *response.status_mut() = StatusCode::NOT_MODIFIED;
            }
            // What lies under `assets` has its hash in its name.
            let lasting = self.name.starts_with("assets/");
            let caching = if lasting { "public, max-age=31536000, immutable" } else { "no-cache" };
            let set = response.headers_mut();
            for (name, value) in [
                (header::CONTENT_TYPE, self.content_type()),
                (header::CACHE_CONTROL, caching),
                (header::ETAG, self.tag),
                (header::VARY, "accept-encoding"),
                (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
                (header::REFERRER_POLICY, "same-origin"),
                (header::CONTENT_SECURITY_POLICY, POLICY),
            ] {
                set.insert(name, HeaderValue::from_static(value));
            }
            if let Some(encoding) = encoding {
                set.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
            }
            response
        }

        /// The smallest form that the client takes.
        fn encoded(&self, headers: &HeaderMap) -> (&'static [u8], Option<&'static str>) {
            let accepted = headers.get_all(header::ACCEPT_ENCODING).into_iter();
            let accepted: Vec<&str> =
                accepted.filter_map(|value| value.to_str().ok()).flat_map(|all| all.split(',')).collect();
            let takes = |name: &str| {
                accepted.iter().any(|entry| {
                    let (coding, weight) = entry.split_once(';').unwrap_or((entry, ""));
                    let refused =
                        weight.trim().strip_prefix("q=").is_some_and(|q| q.parse::<f32>().is_ok_and(|q| q <= 0.0));
                    coding.trim().eq_ignore_ascii_case(name) && !refused
                })
            };
            match (self.br, self.gz) {
                (Some(br), _) if takes("br") => (br, Some("br")),
                (_, Some(gz)) if takes("gzip") => (gz, Some("gzip")),
                _ => (self.plain, None),
            }
        }

        fn content_type(&self) -> &'static str {
            match self.name.rsplit('.').next().unwrap_or_default() {
                "html" => "text/html; charset=utf-8",
                "js" => "text/javascript; charset=utf-8",
                "css" => "text/css; charset=utf-8",
                "svg" => "image/svg+xml",
                "json" => "application/json",
                "png" => "image/png",
                "ico" => "image/x-icon",
                "woff2" => "font/woff2",
                "txt" => "text/plain; charset=utf-8",
                _ => "application/octet-stream",
            }
        }
    }
}
