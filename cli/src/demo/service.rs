//! One service of the shop: an ordinary HTTP server that calls its neighbours. No tracing code, no header passed on.
//!
//! On stdout it keeps a log of its own, [`crate::demo::truth`], which names the request that every call was made for.
//! No sidecar sees it; the demo compares it with what the sidecars found out.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ffi::OsString;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use clap::Parser;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use super::shop::{Chance, DECLINED_CARD, Purchase, Receipt, Role};
use super::truth::Deed;
use crate::{child, say};

/// A service's command line.
#[derive(Debug, Parser)]
struct Args {
    #[arg(long)]
    role: Role,
    #[arg(long)]
    ready_file: PathBuf,
}

/// What a service says when it listens.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ready {
    pub(crate) listen: SocketAddr,
}

/// Where the neighbours are: the one line that a service reads from stdin.
pub(crate) type Neighbours = BTreeMap<String, SocketAddr>;

/// Runs one service until its stdin closes.
pub(crate) fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    let args = match Args::try_parse_from(args) {
        Ok(args) => args,
        Err(error) => {
            say::complaint(error);
            return ExitCode::from(2);
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            say::complaint(error);
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(serve(args)) {
        Ok(never) => match never {},
        Err(error) => {
            say::complaint(error);
            ExitCode::FAILURE
        }
    }
}

async fn serve(args: Args) -> std::io::Result<Infallible> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let ready = serde_json::to_vec(&Ready { listen: listener.local_addr()? })?;
    let unfinished = args.ready_file.with_extension("tmp");
    std::fs::write(&unfinished, ready)?;
    std::fs::rename(&unfinished, &args.ready_file)?;

    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    let neighbours: Neighbours = serde_json::from_str(&line)?;
    child::end_with_parent();

    let service = Arc::new(Service {
        role: args.role,
        neighbours,
        http: Client::builder(TokioExecutor::new()).build_http(),
        chance: Mutex::new(Chance::new()),
    });
    loop {
        let (stream, _) = listener.accept().await?;
        let _ = stream.set_nodelay(true);
        let service = service.clone();
        tokio::spawn(async move {
            let answer = service_fn(move |request| {
                let service = service.clone();
                async move { Ok::<_, Infallible>(service.answer(request).await) }
            });
            // A connection that breaks is the other side's affair; requests on it are answered or not.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

struct Service {
    role: Role,
    neighbours: Neighbours,
    http: Client<HttpConnector, Full<Bytes>>,
    chance: Mutex<Chance>,
}

/// A request being worked on.
struct Job {
    path: String,
    purchase: Purchase,
}

type Reply = (StatusCode, &'static str);

impl Service {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path().to_owned();
        log(&Deed::Served { path: path.clone() });
        let body = match request.into_body().collect().await {
            Ok(body) => body.to_bytes(),
            Err(_) => return respond(0, (StatusCode::BAD_REQUEST, "unreadable")),
        };
        let Ok(purchase) = serde_json::from_slice::<Purchase>(&body) else {
            return respond(0, (StatusCode::BAD_REQUEST, "not a purchase"));
        };
        let order = purchase.order;
        let job = Job { path, purchase };
        self.work().await;
        respond(order, self.carry_out(&job).await)
    }

    /// The business: one line per call.
    async fn carry_out(&self, job: &Job) -> Reply {
        let n = job.purchase.order;
        match (self.role, job.path.split('/').nth(1)) {
            (Role::Frontend, Some("checkout")) => self.call(job, Role::Api, format!("/checkouts/{n}")).await,
            (Role::Frontend, Some("refund")) => self.call(job, Role::Api, format!("/refunds/{n}")).await,
            (Role::Api, Some("checkouts")) => match self.call(job, Role::Auth, format!("/sessions/{n}")).await {
                (StatusCode::OK, _) => self.call(job, Role::Order, format!("/orders/{n}")).await,
                refused => refused,
            },
            (Role::Api, Some("refunds")) => self.call(job, Role::Payment, format!("/payouts/{n}")).await,
            (Role::Auth, Some("sessions")) => (StatusCode::OK, "signed in"),
            (Role::Order, Some("orders")) => self.call(job, Role::Payment, format!("/payments/{n}")).await,
            (Role::Payment, Some("payments")) if job.purchase.card == DECLINED_CARD => {
                (StatusCode::PAYMENT_REQUIRED, "declined")
            }
            (Role::Payment, Some("payments" | "payouts")) => (StatusCode::OK, "paid"),
            _ => (StatusCode::NOT_FOUND, "no such thing"),
        }
    }

    async fn call(&self, job: &Job, neighbour: Role, path: String) -> Reply {
        let Some(address) = self.neighbours.get(neighbour.name()) else {
            return (StatusCode::INTERNAL_SERVER_ERROR, "neighbour unknown");
        };
        let Ok(body) = serde_json::to_vec(&job.purchase) else {
            return (StatusCode::INTERNAL_SERVER_ERROR, "purchase unwritable");
        };
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("http://{address}{path}"))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::from(body));
        let Ok(request) = request else { return (StatusCode::INTERNAL_SERVER_ERROR, "address unusable") };
        log(&Deed::Called { path, because: job.path.clone() });
        let Ok(answer) = self.http.request(request).await else { return (StatusCode::BAD_GATEWAY, "unreachable") };
        let status = answer.status();
        if answer.into_body().collect().await.is_err() {
            return (StatusCode::BAD_GATEWAY, "cut off");
        }
        match status {
            StatusCode::OK => (status, "done"),
            StatusCode::PAYMENT_REQUIRED => (status, "declined"),
            _ => (StatusCode::BAD_GATEWAY, "failed"),
        }
    }

    /// What a request costs by itself: some arithmetic, and waiting for a disk or a bank.
    async fn work(&self) {
        let (base, chance) = self.role.waits();
        let wait = base + self.chance.lock().unwrap_or_else(PoisonError::into_inner).wait(chance);
        let sum = (0..20_000_u64).fold(wait.as_nanos() as u64, |sum, n| (sum ^ n).wrapping_mul(0x0100_0000_01b3));
        std::hint::black_box(sum);
        tokio::time::sleep(wait).await;
    }
}

fn respond(order: u64, (status, outcome): Reply) -> Response<Full<Bytes>> {
    let receipt = Receipt { order, outcome: outcome.to_owned() };
    let body = serde_json::to_vec(&receipt).unwrap_or_default();
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
    response
}

fn log(deed: &Deed) {
    // Nobody reads any more: the demo is over, and this process is about to be.
    let _ = writeln!(std::io::stdout().lock(), "{deed}");
}
