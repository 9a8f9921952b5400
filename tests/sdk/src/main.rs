//! A service built with Raceway's own SDK: its middleware on requests, its headers on calls, its events to the analyzer.
//!
//!     raceway-sdk-service NAME ANALYZER_URL --ready-file FILE
//!
//! `GET /…` calls every neighbour twice in a row. The neighbours' addresses come as one line of JSON on stdin.
//! `GET /start` does the same in a context of its own, as a program that begins a trace.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::io::BufRead;
use std::sync::{Arc, OnceLock};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::{Router, routing::get};
use raceway::{RACEWAY_CONTEXT, RacewayClient, RacewayContext};

static NEIGHBOURS: OnceLock<BTreeMap<String, String>> = OnceLock::new();

#[tokio::main]
async fn main() {
    let args: Vec<String> = std::env::args().collect();
    let [_, name, analyzer, _, ready_file] = args.as_slice() else { panic!("NAME ANALYZER_URL --ready-file FILE") };
    let client = Arc::new(RacewayClient::new(analyzer, name));

    let traced = Router::new()
        .route("/*path", get(work))
        .layer(middleware::from_fn_with_state(client.clone(), enter))
        .with_state(client.clone());
    let app = Router::new().route("/start", get(start)).with_state((client, name.clone())).merge(traced);

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let unfinished = format!("{ready_file}.tmp");
    std::fs::write(&unfinished, serde_json::json!({ "listen": address.to_string() }).to_string()).expect("writable");
    std::fs::rename(&unfinished, ready_file).expect("writable");
    std::thread::spawn(|| {
        let mut lines = std::io::stdin().lock().lines();
        let line = lines.next().expect("a line").expect("text");
        NEIGHBOURS.set(serde_json::from_str(&line).expect("an object")).expect("once");
        // The end of stdin is the end of the test.
        lines.for_each(drop);
        std::process::exit(0);
    });
    axum::serve(listener, app).await.expect("it serves");
}

async fn enter(State(client): State<Arc<RacewayClient>>, headers: HeaderMap, request: Request, next: Next) -> Response {
    RacewayClient::middleware(client, headers, request, next).await
}

async fn work(State(client): State<Arc<RacewayClient>>, uri: Uri) -> (StatusCode, &'static str) {
    client.track_state_change("stock", Some(10), 9, "Write");
    call_all_twice(&client, uri.path()).await
}

async fn start(State((client, name)): State<(Arc<RacewayClient>, String)>) -> (StatusCode, &'static str) {
    let trace_id = "4bf92f35-77b3-4da6-a3ce-929d0e0e4736".to_owned();
    let context = RefCell::new(RacewayContext::new(trace_id, name, "sdk-1".to_owned()));
    RACEWAY_CONTEXT
        .scope(context, async move {
            client.track_function_call("start", ());
            call_all_twice(&client, "/started").await
        })
        .await
}

async fn call_all_twice(client: &RacewayClient, path: &str) -> (StatusCode, &'static str) {
    let http = reqwest::Client::new();
    for address in NEIGHBOURS.get().expect("told before the first request").values() {
        for _ in 0..2 {
            let headers: HashMap<String, String> = client.propagation_headers(None).expect("inside a context");
            let mut request = http.get(format!("http://{address}{path}"));
            for (name, value) in headers {
                request = request.header(name, value);
            }
            match request.send().await {
                Ok(answer) if answer.status().is_success() => {}
                _ => return (StatusCode::BAD_GATEWAY, "a neighbour failed"),
            }
        }
    }
    (StatusCode::OK, "sdk")
}
