//! The embedded store: what every store must do, and what only this one can get wrong.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test may panic, and says why it was skipped"
)]

mod store_suite;

use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use prometheus::Registry;
use raceway_analyzer::store::embedded::{Embedded, OpenError, Options};
use raceway_analyzer::store::{SpanStore, StoreError, TraceQuery};
use raceway_analyzer_client::Reported;
use store_suite::{append, block_on, process, span, trace_id};

struct Temporary {
    store: Embedded,
    _dir: tempfile::TempDir,
}

impl Deref for Temporary {
    type Target = Embedded;

    fn deref(&self) -> &Embedded {
        &self.store
    }
}

fn open() -> Temporary {
    open_with(Options::default())
}

fn open_with(options: Options) -> Temporary {
    let dir = tempfile::tempdir().unwrap();
    Temporary { store: open_in(dir.path(), options).unwrap(), _dir: dir }
}

fn open_in(dir: &Path, options: Options) -> Result<Embedded, OpenError> {
    Embedded::open(dir, options, &Registry::new())
}

store_suite!(open);

/// A clock that stands still until it is told to go on.
#[derive(Clone)]
struct Clock(Arc<AtomicU64>);

impl Clock {
    fn new() -> Self {
        Self(Arc::new(AtomicU64::new(1_793_491_200_000)))
    }

    fn options(&self) -> Options {
        let now = self.0.clone();
        Options { clock: Arc::new(move || now.load(Ordering::SeqCst)), ..Options::default() }
    }

    fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_millis() as u64, Ordering::SeqCst);
    }
}

/// Waits for what the writer does in its own time.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(30), "{what}: not within 30 s");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn everything_is_there_after_opening_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_in(dir.path(), Options::default()).unwrap();
    append(&store, (1..=100).map(|n| span(u128::from(n % 10) + 1, n)).collect::<Vec<_>>());
    let (totals, page) = (store.totals(), store.traces(&TraceQuery { limit: 50, ..TraceQuery::default() }).unwrap());
    drop(store);
    let store = open_in(dir.path(), Options::default()).unwrap();
    assert_eq!((store.totals().traces, store.totals().spans), (totals.traces, totals.spans));
    assert_eq!(store.traces(&TraceQuery { limit: 50, ..TraceQuery::default() }).unwrap(), page);
    // What is known is known, and what is new joins its trace.
    let appended = append(&store, [span(1, 10), span(1, 1000)]);
    assert_eq!((appended.repeated, appended.fresh.len()), (1, 1));
    assert_eq!(store.trace(trace_id(1)).unwrap().len(), 11);
}

#[test]
fn a_folder_that_cannot_be_used_is_told_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let refusal = |dir: &Path| {
        let refusal = open_in(dir, Options::default()).err().expect("must be refused").to_string();
        assert!(refusal.contains(&*dir.to_string_lossy()) && !refusal.contains('\n'), "{refusal}");
        refusal
    };
    let file = dir.path().join("file");
    std::fs::write(&file, "mine").unwrap();
    assert!(refusal(&file).contains("not a folder"));
    assert!(refusal(&file.join("below")).contains("not a folder"));
    let nowhere = refusal(Path::new("/proc/no/such"));
    assert!(nowhere.contains("cannot be written") && !nowhere.contains("give this user"), "{nowhere}");

    let newer = dir.path().join("newer");
    std::fs::create_dir(&newer).unwrap();
    std::fs::write(newer.join("format"), "raceway-analyzer data, format 2\n").unwrap();
    assert!(refusal(&newer).contains("format 2"));
    std::fs::write(newer.join("format"), [0xff; 10_000]).unwrap();
    assert!(refusal(&newer).len() < 1000);

    let foreign = dir.path().join("foreign");
    std::fs::create_dir_all(foreign.join("spans")).unwrap();
    assert!(refusal(&foreign).contains("no file \"format\""));

    let ours = dir.path().join("ours");
    let _store = open_in(&ours, Options::default()).unwrap();
    assert!(refusal(&ours).contains("in use"));
}

#[test]
fn what_is_older_than_wanted_goes_and_the_rest_stays() {
    let (clock, dir, registry) = (Clock::new(), tempfile::tempdir().unwrap(), Registry::new());
    let options = Options { age_max: Duration::from_secs(20 * 3600), ..clock.options() };
    let store = Embedded::open(dir.path(), options, &registry).unwrap();
    let partitions = || {
        let families = registry.gather();
        let family = families.iter().find(|family| family.name() == "raceway_analyzer_store_partitions").unwrap();
        family.get_metric()[0].get_gauge().get_value() as u64
    };
    for hour in 1..=30u64 {
        append(&store, (0..10).map(|n| span(u128::from(hour * 100 + n), n + 1)).collect::<Vec<_>>());
        clock.advance(Duration::from_secs(3700));
        if hour % 10 == 0 && hour < 30 {
            let before = partitions();
            eventually("a new partition is opened", || partitions() > before);
        }
    }
    eventually("the first ten hours are forgotten", || store.totals().traces == 200);
    assert!(store.trace(trace_id(101)).unwrap().is_empty());
    assert_eq!(store.trace(trace_id(3001)).unwrap().len(), 1);
    let page = store.traces(&TraceQuery { limit: 1000, ..TraceQuery::default() }).unwrap();
    assert_eq!((page.rows.len(), page.total), (200, 200));
    // A span that comes late for a forgotten trace begins it anew.
    append(&store, [span(101, 7)]);
    assert_eq!(store.trace(trace_id(101)).unwrap().len(), 1);
    assert_eq!(store.totals().traces, 201);
}

#[test]
fn what_is_larger_than_wanted_goes_oldest_first() {
    // 160 MiB, of which 64 are for the journal: partitions of 6 MiB.
    let dir = tempfile::tempdir().unwrap();
    let options = Options { bytes_max: 160 << 20, ..Options::default() };
    let store = open_in(dir.path(), options.clone()).unwrap();
    let large = |n: u64| {
        let mut span = span(u128::from(n), n);
        span.span.set("large", "x".repeat(100_000));
        span
    };
    let mut sent = 0;
    eventually("the oldest is forgotten", || {
        append(&store, (0..50).map(|n| large(sent + n + 1)).collect::<Vec<_>>());
        sent += 50;
        store.trace(trace_id(1)).unwrap().is_empty()
    });
    assert!(sent > 900, "kept about 96 MB before anything went, not {sent} spans");
    assert_eq!(store.trace(trace_id(u128::from(sent))).unwrap().len(), 1);
    // An end in the middle of forgetting: the next start goes on with it.
    drop(store);
    let store = open_in(dir.path(), options).unwrap();
    eventually("all that is listed can be read, and nothing else is counted", || {
        let page = store.traces(&TraceQuery { limit: 100_000, ..TraceQuery::default() }).unwrap();
        let readable = page.rows.iter().filter(|row| store.trace(row.trace_id).unwrap().len() == 1).count();
        page.rows.len() as u64 == store.totals().traces && readable == page.rows.len()
    });
}

#[test]
fn a_trace_has_a_most() {
    let store = open_with(Options { spans_per_trace_max: 10, ..Options::default() });
    let appended = append(&*store, (1..=15).map(|n| span(1, n)).collect::<Vec<_>>());
    assert_eq!((appended.fresh.len(), appended.over_limit), (10, 5));
    assert_eq!(append(&*store, [span(1, 3)]).repeated, 1, "what is there is still known");
    assert_eq!(append(&*store, [span(1, 11), span(2, 1)]).over_limit, 1, "another trace is not concerned");
    assert_eq!(store.trace(trace_id(1)).unwrap().len(), 10);
}

#[test]
fn too_much_at_once_is_refused_and_nothing_is_half_kept() {
    let store = open_with(Options { queue_bytes_max: 1, ..Options::default() });
    let (kept, refused) = (AtomicU64::new(0), AtomicU64::new(0));
    let began = Instant::now();
    std::thread::scope(|scope| {
        for thread in 1..=8 {
            let (store, kept, refused) = (&store, &kept, &refused);
            scope.spawn(move || {
                for n in 0.. {
                    let batch: Vec<Reported> = (1..=100).map(|id| span(thread * 1_000_000 + n, id)).collect();
                    let result = block_on(store.append(batch));
                    match &result {
                        Ok(_) => kept.fetch_add(100, Ordering::SeqCst),
                        Err(_) if store_suite::is_overloaded(&result) => refused.fetch_add(1, Ordering::SeqCst),
                        Err(error) => panic!("{error}"),
                    };
                    if refused.load(Ordering::SeqCst) > 0 || began.elapsed() > Duration::from_secs(30) {
                        break;
                    }
                }
            });
        }
    });
    assert!(refused.into_inner() > 0);
    assert_eq!(store.totals().spans, kept.into_inner());
}

#[test]
fn more_processes_than_have_a_number_are_kept_all_the_same() {
    let store = open();
    let spans = (1..=17_000u64).map(|n| {
        let mut span = span(u128::from(n % 50) + 1, n);
        span.resource = process("shop", &format!("shop-{n}"));
        span
    });
    let spans: Vec<_> = spans.collect();
    append(&*store, spans.clone());
    let last = spans.last().unwrap();
    assert!(store.trace(last.span.trace_id).unwrap().contains(last));
    assert_eq!(append(&*store, spans).repeated, 17_000);
}

/// Not a test: the process that `nothing_acknowledged_is_lost_by_a_kill` kills.
#[test]
#[ignore = "runs as a child of nothing_acknowledged_is_lost_by_a_kill"]
fn child_that_is_killed() {
    use std::io::Write;
    let Some(dir) = std::env::var_os("STORE_DIR") else { return };
    let round: u128 = std::env::var("STORE_ROUND").unwrap().parse().unwrap();
    let store = open_in(Path::new(&dir), Options::default()).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4u128 {
            let store = &store;
            scope.spawn(move || {
                for n in 0.. {
                    let trace = round << 64 | thread << 32 | n | 1 << 100;
                    append(store, [span(trace, 1), span(trace, 2), span(trace, 3)]);
                    let mut out = std::io::stdout().lock();
                    writeln!(out, "kept {trace}").unwrap();
                    out.flush().unwrap();
                }
            });
        }
    });
}

#[test]
fn nothing_acknowledged_is_lost_by_a_kill() {
    use std::io::BufRead;
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = Vec::new();
    for round in 0..6 {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_that_is_killed", "--ignored", "--nocapture"])
            .env("STORE_DIR", dir.path())
            .env("STORE_ROUND", round.to_string())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
        let (mut line, mut seen) = (String::new(), 0);
        let mut killed = false;
        // Read on after the kill: what was printed was acknowledged.
        while out.read_line(&mut line).unwrap() > 0 {
            if let Some(trace) = line.trim().strip_prefix("kept ").and_then(|trace| trace.parse().ok()) {
                acknowledged.push(trace_id(trace));
                seen += 1;
            }
            line.clear();
            if !killed && seen >= 100 + 37 * round {
                child.kill().unwrap();
                killed = true;
            }
        }
        child.wait().unwrap();
        assert!(killed, "the child ended by itself after {seen} traces");

        let store = open_in(dir.path(), Options::default()).unwrap();
        for &id in &acknowledged {
            assert_eq!(store.trace(id).unwrap().len(), 3, "{id} of {} in round {round}", acknowledged.len());
        }
        let replayed: usize = store.replay().unwrap().map(|portion| portion.unwrap().len()).sum();
        assert_eq!(store.totals().spans, replayed as u64, "the counters agree with what is there");
        let page = store.traces(&TraceQuery { limit: 1_000_000, ..TraceQuery::default() }).unwrap();
        assert_eq!((page.rows.len() as u64, page.total), (store.totals().traces, store.totals().traces));
    }
}

#[test]
fn a_full_disk_refuses_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=144m", "tmpfs"])
        .arg(dir.path())
        .status()
        .is_ok_and(|status| status.success());
    if !mounted {
        eprintln!("SKIPPED a_full_disk_refuses_and_loses_nothing: mounting a tmpfs needs root");
        return;
    }
    struct Unmount<'d>(&'d Path);
    impl Drop for Unmount<'_> {
        fn drop(&mut self) {
            let _ = std::process::Command::new("umount").arg("-l").arg(self.0).status();
        }
    }
    let _unmount = Unmount(dir.path());

    let store = open_in(dir.path(), Options::default()).unwrap();
    let mut kept = 0;
    let full = loop {
        let batch: Vec<Reported> = (0..20)
            .map(|n| {
                let mut span = span(kept + n + 1, 1);
                span.span.set("large", "x".repeat(50_000));
                span
            })
            .collect();
        match block_on(store.append(batch)) {
            Ok(_) => kept += 20,
            Err(StoreError::Full(text)) => break text,
            Err(error) => panic!("{error}"),
        }
        assert!(kept < 100_000, "it never got full");
    };
    assert!(full.contains("is full") && full.contains("--retention-size"), "{full}");
    let readable = |store: &Embedded| (1..=kept).filter(|&n| store.trace(trace_id(n)).unwrap().len() == 1).count();
    assert_eq!(readable(&store) as u128, kept, "what was kept can be read while the disk is full");
    drop(store);
    let store = open_in(dir.path(), Options::default()).unwrap();
    assert_eq!(readable(&store) as u128, kept);
    // With a smaller reserve there is room again, as if someone had tidied up.
    drop(store);
    let store = open_in(dir.path(), Options { disk_reserve_bytes: 8 << 20, ..Options::default() }).unwrap();
    append(&store, [span(1 << 90, 1)]);
}
