//! The harness of the end-to-end tests: real processes on ports the system chose, in sentences.
//!
//! ```no_run
//! # async fn example() {
//! use raceway_tests::Stack;
//!
//! let shop = Stack::start(["frontend -> api", "api -> auth, orders", "orders -> payment"]).await;
//! shop.get("/checkout").await;
//! shop.settle().await;
//! assert_eq!(shop.analyzer().edges().await, ["api -> auth", "api -> orders", "frontend -> api", "orders -> payment"]);
//! shop.stop().await;
//! # }
//! ```
//!
//! [`Stack`] is where to start; [`app`] is the application behind a sidecar, [`analyzer`] asks what was stored,
//! [`http`] speaks HTTP byte by byte. A harness that finds something wrong panics: that is how tests fail.

pub mod analyzer;
pub mod app;
mod chain;
pub mod http;
pub mod netns;
mod stack;
mod topology;

pub use chain::Chain;
pub use stack::{Builder, Sidecar, Stack};

use std::path::PathBuf;
use std::time::Duration;

/// How long anything may take before a test fails: far more than it needs, even on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The program under test. Cargo says where it is, to integration tests and benchmarks only.
pub fn program() -> PathBuf {
    std::env::var_os("CARGO_BIN_EXE_raceway-under-test")
        .map(PathBuf::from)
        .expect("run by `cargo test` or `cargo bench`")
}

/// Says so that nobody misses it that a test cannot run here. With `RACEWAY_TESTS_MUST_RUN` set, as in CI, it fails.
pub fn skip(why: &str) {
    use std::io::Write;
    assert!(std::env::var_os("RACEWAY_TESTS_MUST_RUN").is_none(), "must run here, and cannot: {why}");
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    // Not `eprintln`: what a passing test prints is swallowed.
    let _ = writeln!(std::io::stderr().lock(), "\n!!! SKIPPED {test}: {why}\n");
}
