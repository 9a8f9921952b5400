//! Customers: purchases that arrive by chance at a given rate, whether or not earlier ones have been answered.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::CONTENT_TYPE;
use hyper::{Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::shop::{Chance, DECLINED_CARD, GOOD_CARD, Purchase, Receipt};
use crate::client::chain;

/// How long a customer waits: a thousand times what an answer takes.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest delay after which arrivals are made up for.
const CATCH_UP: Duration = Duration::from_millis(100);
/// One purchase in four is a refund.
const REFUNDS: f64 = 0.25;
/// Three cards in a hundred are declined: an error on the edges, and the right answer all the same.
const DECLINED: f64 = 0.03;
/// The first order's number: orders of one run have as many digits.
const FIRST_ORDER: u64 = 100_001;

/// How it went so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    sent: AtomicU64,
    declined: AtomicU64,
    failed: AtomicU64,
    first_failure: Mutex<Option<String>>,
}

impl Tally {
    /// Requests sent.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Requests whose card was declined, as it should be.
    pub(crate) fn declined(&self) -> u64 {
        self.declined.load(Ordering::Relaxed)
    }

    /// Requests that got no answer, or another one.
    pub(crate) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// What the first of the failed ones got.
    pub(crate) fn first_failure(&self) -> Option<String> {
        self.first_failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn fail(&self, what: String) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        self.first_failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(what);
    }
}

/// The customers of one run.
#[derive(Debug)]
pub(crate) struct Load {
    customer: Arc<Customer>,
    in_flight: Arc<Semaphore>,
    open: JoinSet<()>,
    chance: Chance,
    gap: Duration,
    due: Instant,
    order: u64,
}

#[derive(Debug)]
struct Customer {
    http: Client<HttpConnector, Full<Bytes>>,
    frontend: SocketAddr,
    tally: Arc<Tally>,
}

impl Load {
    /// `rate` purchases per second on average, at most `concurrency` open at once.
    pub(crate) fn new(frontend: SocketAddr, rate: f64, concurrency: u32, tally: Arc<Tally>) -> Self {
        let http = Client::builder(TokioExecutor::new()).build_http();
        Self {
            customer: Arc::new(Customer { http, frontend, tally }),
            in_flight: Arc::new(Semaphore::new(concurrency as usize)),
            open: JoinSet::new(),
            chance: Chance::new(),
            gap: Duration::from_secs_f64(1.0 / rate),
            due: Instant::now(),
            order: FIRST_ORDER,
        }
    }

    /// Sends for as long as it is polled; to be dropped when enough has been sent.
    pub(crate) async fn run(&mut self) -> std::convert::Infallible {
        loop {
            sleep_until(self.due).await;
            let Ok(place) = self.in_flight.clone().acquire_owned().await else { std::future::pending().await };
            // What a hiccup of the timer delayed is made up for; what found no place for long is not, or a pause
            // would end in a burst.
            let now = Instant::now();
            if now.saturating_duration_since(self.due) > CATCH_UP {
                self.due = now;
            }
            self.due += self.chance.wait(self.gap);
            let refund = self.chance.unit() <= REFUNDS;
            let declined = !refund && self.chance.unit() <= DECLINED;
            let purchase = Purchase {
                order: self.order,
                card: if declined { DECLINED_CARD } else { GOOD_CARD }.to_owned(),
                cents: 100 + self.order % 9_900,
            };
            self.order += 1;
            let customer = self.customer.clone();
            customer.tally.sent.fetch_add(1, Ordering::Relaxed);
            self.open.spawn(async move {
                customer.buy(if refund { "refund" } else { "checkout" }, &purchase, declined).await;
                drop(place);
            });
            while self.open.try_join_next().is_some() {}
        }
    }

    /// Waits for the answers that are still to come, and leaves.
    pub(crate) async fn finish(mut self) {
        while self.open.join_next().await.is_some() {}
    }
}

impl Customer {
    async fn buy(&self, what: &str, purchase: &Purchase, declined: bool) {
        let expected = if declined { StatusCode::PAYMENT_REQUIRED } else { StatusCode::OK };
        let path = format!("/{what}/{}", purchase.order);
        let got = match timeout(PATIENCE, self.post(&path, purchase)).await {
            Ok(got) => got,
            Err(_) => Err(format!("no answer within {PATIENCE:?}")),
        };
        match got {
            Ok((status, order)) if status == expected && order == Some(purchase.order) => {
                self.tally.declined.fetch_add(u64::from(declined), Ordering::Relaxed);
            }
            Ok((status, _)) => self.tally.fail(format!("POST {path} was answered {status}, not {expected}")),
            Err(reason) => self.tally.fail(format!("POST {path}: {reason}")),
        }
    }

    async fn post(&self, path: &str, purchase: &Purchase) -> Result<(StatusCode, Option<u64>), String> {
        let body = serde_json::to_vec(purchase).map_err(|error| error.to_string())?;
        let request = Request::post(format!("http://{}{path}", self.frontend))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::from(body))
            .map_err(|error| error.to_string())?;
        let answer = self.http.request(request).await.map_err(|error| chain(&error))?;
        let status = answer.status();
        let body = answer.into_body().collect().await.map_err(|error| chain(&error))?.to_bytes();
        Ok((status, serde_json::from_slice::<Receipt>(&body).ok().map(|receipt| receipt.order)))
    }
}
