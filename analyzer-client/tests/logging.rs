//! What an operator reads. One test to a process, since log lines go to all of it.

mod support;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use raceway_analyzer_client::{Exporter, Protocol};
use support::grpc::{self, Ability};
use support::{Ledger, free_address, record, settings, stop, until};

/// Where log lines go.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    /// Those that hold a text.
    fn with(&self, text: &str) -> usize {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&lines).lines().filter(|line| line.contains(text)).count()
    }
}

impl std::io::Write for Lines {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_change_for_the_worse_or_better_is_logged_once() {
    let lines = Lines::default();
    let writer = lines.clone();
    tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).init();
    let (address, ledger) = (free_address(), Arc::new(Ledger::default()));
    let exporter = Exporter::start(settings(address, Protocol::Grpc));
    record(&exporter, 1..10);
    until(&exporter, "it was tried often", |stats| stats.progress.retries > 5).await;
    assert_eq!((lines.with("trying again"), lines.with("check that the analyzer runs")), (1, 1));
    let receiver = grpc::receiver(address, &ledger, Ability::default());
    ledger.until_spans(1..10).await;
    until(&exporter, "it knows", |stats| stats.spans_sent == 9).await;
    assert_eq!(lines.with("takes spans again"), 1);
    receiver.kill();
    record(&exporter, 10..20);
    let before = exporter.stats()[0].progress.retries;
    until(&exporter, "it was tried often", |stats| stats.progress.retries > before + 5).await;
    let told = lines.with("trying again");
    assert!((2..=3).contains(&told), "lost, then refused: {told} lines");
    stop(&exporter, Duration::ZERO).await;
}
