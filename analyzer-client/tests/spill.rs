//! Spans on disk: a receiver that is away for longer than memory lasts, restarts, and disks that are full.

mod support;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use raceway_analyzer_client::{Exporter, Protocol, Resource, Settings, SpillFolder, Stats};
use support::grpc::{self, Ability};
use support::{Ledger, PATIENCE, failed, free_address, record, settings, stop, until};

const MIB: u64 = 1 << 20;

/// Memory for a few hundred spans, and a folder for the rest.
fn spilling(address: std::net::SocketAddr, folder: &Path, bytes_max: u64) -> Settings {
    let spill = SpillFolder::open(folder, bytes_max).expect("it is ours");
    Settings {
        queue_bytes_max: 128 * 1024,
        batch_spans_max: 32,
        spill: Some(spill),
        ..settings(address, Protocol::Grpc)
    }
}

fn adds_up(stats: &Stats) {
    let known = stats.spans_sent + stats.spans_rejected + stats.dropped.total() + stats.spans_waiting;
    let there = known + stats.spans_in_flight + stats.spans_on_disk;
    assert_eq!(stats.spans_recorded + stats.spans_recovered, there, "{stats:?}");
}

/// Records these, no faster than the disk takes them.
async fn record_slowly(exporter: &Exporter, numbers: std::ops::Range<u64>) {
    for number in numbers {
        record(exporter, number..number + 1);
        if number % 64 == 0 {
            let settled = |stats: &Stats| stats.queue_bytes <= 3 * stats.queue_bytes_max / 4;
            until(exporter, "the disk takes it", settled).await;
        }
    }
}

#[tokio::test]
async fn an_outage_longer_than_memory_lasts_costs_no_span() {
    let (address, ledger) = (free_address(), Arc::new(Ledger::default()));
    let folder = tempfile::tempdir().expect("a folder");
    let exporter = Exporter::start(spilling(address, folder.path(), 64 * MIB));
    record_slowly(&exporter, 1..10_001).await;
    let stats = exporter.stats().remove(0);
    adds_up(&stats);
    assert!(stats.spans_on_disk > 8000 && stats.dropped.total() == 0, "{stats:?}");
    assert!(stats.queue_bytes <= stats.queue_bytes_max, "{stats:?}");
    let _receiver = grpc::receiver(address, &ledger, Ability::default());
    ledger.until_spans(1..10_001).await;
    // New ones do not wait for the old ones to be through, nor the other way.
    record(&exporter, 10_001..10_101);
    ledger.until_spans(10_001..10_101).await;
    let stats = stop(&exporter, PATIENCE).await;
    adds_up(&stats);
    assert_eq!((stats.spans_sent, stats.dropped.total(), stats.spans_on_disk), (10_100, 0, 0), "{stats:?}");
    assert_eq!(std::fs::read_dir(folder.path()).expect("it is there").count(), 0);
}

#[tokio::test]
async fn what_could_not_be_sent_is_sent_by_the_next_process_in_the_first_ones_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let away = free_address();
    let exporter = Exporter::start(spilling(away, folder.path(), 64 * MIB));
    record(&exporter, 1..301);
    exporter.record(&failed(301));
    let stats = stop(&exporter, std::time::Duration::from_millis(50)).await;
    adds_up(&stats);
    assert_eq!((stats.spans_on_disk, stats.dropped.total()), (301, 0), "{stats:?}");
    drop(exporter);

    let ledger = Arc::new(Ledger::default());
    let receiver = grpc::receiver(free_address(), &ledger, Ability::default());
    let mut later = spilling(receiver.address, folder.path(), 64 * MIB);
    later.resource = Resource::new("another");
    let exporter = Exporter::start(later);
    ledger.until_spans(1..302).await;
    let named = ledger.look(|seen| seen.resources.iter().filter(|resource| resource.contains("another")).count());
    assert_eq!(named, 0, "they are the first process's");
    let stats = stop(&exporter, PATIENCE).await;
    adds_up(&stats);
    assert_eq!((stats.spans_recovered, stats.spans_sent, stats.spans_on_disk), (301, 301, 0), "{stats:?}");
}

#[tokio::test]
async fn a_full_folder_loses_the_oldest_and_counts_them() {
    let (address, ledger) = (free_address(), Arc::new(Ledger::default()));
    let folder = tempfile::tempdir().expect("a folder");
    let exporter = Exporter::start(spilling(address, folder.path(), MIB));
    record_slowly(&exporter, 1..20_001).await;
    let stats = exporter.stats().remove(0);
    adds_up(&stats);
    let spill = stats.spill.expect("there is a folder");
    assert!(stats.dropped.disk > 1000 && spill.bytes <= MIB && spill.overflowed == stats.dropped.disk, "{stats:?}");
    let _receiver = grpc::receiver(address, &ledger, Ability::default());
    let stats = until(&exporter, "the rest came", |it| it.spans_sent + it.dropped.total() == 20_000).await;
    assert_eq!(stats.dropped.total(), stats.dropped.disk, "{stats:?}");
    assert!(ledger.look(|seen| seen.spans.contains_key(&20_000) && !seen.spans.contains_key(&1)));
    adds_up(&stop(&exporter, PATIENCE).await);
}

/// A file system of so little, gone when dropped.
struct Small(tempfile::TempDir);

impl Small {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=512k", "tmpfs"]).arg(folder.path()).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Self(folder))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).output();
    }
}

#[tokio::test]
async fn a_full_disk_leaves_memory_and_room_is_used_again() {
    use std::io::Write;
    let Some(small) = Small::mount() else {
        assert!(std::env::var_os("RACEWAY_TESTS_MUST_RUN").is_none(), "must run here, and cannot mount a tmpfs");
        let _ = writeln!(std::io::stderr().lock(), "\n!!! SKIPPED a_full_disk: a tmpfs cannot be mounted (root?)\n");
        return;
    };
    let (address, ledger) = (free_address(), Arc::new(Ledger::default()));
    let exporter = Exporter::start(spilling(address, small.0.path(), 64 * MIB));
    let refused = |stats: &Stats| stats.spill.is_some_and(|spill| spill.write_errors > 0);
    let mut number = 1;
    while !refused(&exporter.stats()[0]) {
        record(&exporter, number..number + 64);
        number += 64;
        tokio::task::yield_now().await;
        assert!(number < 1_000_000, "it never fills up");
    }
    let stats = exporter.stats().remove(0);
    adds_up(&stats);
    assert!(stats.spans_on_disk > 0 && stats.spans_waiting > 0, "{stats:?}");
    let _receiver = grpc::receiver(address, &ledger, Ability::default());
    let stats =
        until(&exporter, "all was sent", |it| it.spans_on_disk + it.spans_waiting + it.spans_in_flight == 0).await;
    adds_up(&stats);
    let errors = stats.spill.map_or(0, |spill| spill.unreadable + spill.damaged);
    assert_eq!((errors, stats.spans_sent + stats.dropped.overflow), (0, number - 1), "{stats:?}");
    stop(&exporter, PATIENCE).await;
    assert_eq!(std::fs::read_dir(small.0.path()).expect("it is there").count(), 0);
}
