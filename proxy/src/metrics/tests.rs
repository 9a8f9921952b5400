use raceway_analyzer_client::{Endpoint, Protocol, Resource, Settings};

use super::*;

fn text(metrics: &Metrics) -> String {
    String::from_utf8(metrics.text()).expect("the format is text")
}

/// The value of the sample that starts with this, labels included.
fn value(text: &str, sample: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {sample} in\n{text}")).parse().expect("a number")
}

fn everything() -> Metrics {
    let metrics = Metrics::new();
    let endpoint = Endpoint::parse("http://127.0.0.1:1", Protocol::Grpc).expect("a URL");
    metrics.watch_exporter(Exporter::start(Settings::new(endpoint, Resource::new("test"))));
    metrics.watch_templates(Arc::default());
    metrics.watch_drain(Drain::new());
    let client = raceway_tls::Reloading::load(raceway_tls::ClientFiles {
        insecure_skip_verify: true,
        ..raceway_tls::ClientFiles::default()
    });
    metrics.watch_certificates(None, Some(Arc::new(client.expect("nothing is read"))));
    metrics.inbound_handshakes().failed("tls_no_certificate");
    metrics.outbound_handshakes().done(&raceway_tls::Peer { version: "1.3", ..raceway_tls::Peer::default() });
    metrics.inbound.refused("bare_lf");
    metrics.inbound.idle("http1");
    metrics.outbound.failed("unreachable");
    metrics.malformed("traceparent", "repeated");
    metrics.inbound_listener().accept_failed("file_limit");
    metrics
}

#[tokio::test]
async fn every_metric_moves() {
    let metrics = everything();
    metrics.inbound.ended(Some(200), false, Duration::from_millis(3), (10, 20));
    metrics.inbound.ended(Some(503), true, Duration::from_millis(3), (0, 5));
    metrics.outbound.ended(None, true, Duration::from_secs(60), (0, 0));
    metrics.outbound.ended(Some(999), true, Duration::ZERO, (0, 0));
    metrics.outbound.retried();
    metrics.linked(Method::Sole);
    metrics.linked(Method::Root);
    metrics.ignored.inc();
    let text = text(&metrics);
    for (sample, expected) in [
        (r#"requests_total{direction="inbound",error="false",status="2xx"}"#, 1.0),
        (r#"requests_total{direction="inbound",error="true",status="5xx"}"#, 1.0),
        (r#"requests_total{direction="outbound",error="true",status="none"}"#, 1.0),
        (r#"requests_total{direction="outbound",error="true",status="5xx"}"#, 1.0),
        (r#"requests_total{direction="outbound",error="false",status="2xx"}"#, 0.0),
        (r#"request_duration_seconds_bucket{direction="inbound",le="0.002"}"#, 0.0),
        (r#"request_duration_seconds_bucket{direction="inbound",le="0.005"}"#, 2.0),
        (r#"request_duration_seconds_count{direction="outbound"}"#, 2.0),
        (r#"body_bytes_total{body="request",direction="inbound"}"#, 10.0),
        (r#"body_bytes_total{body="response",direction="inbound"}"#, 25.0),
        (r#"retries_total{direction="outbound"}"#, 1.0),
        (r#"refused_total{direction="inbound",reason="bare_lf"}"#, 1.0),
        (r#"idle_closed_total{direction="inbound",protocol="http1"}"#, 1.0),
        (r#"upstream_failures_total{direction="outbound",reason="unreachable"}"#, 1.0),
        (r#"links_total{method="sole"}"#, 1.0),
        (r#"links_total{method="root"}"#, 1.0),
        (r#"links_total{method="header"}"#, 0.0),
        (r#"context_malformed_total{header="traceparent",reason="repeated"}"#, 1.0),
        ("ignored_total", 1.0),
        (r#"accept_errors_total{reason="file_limit"}"#, 1.0),
        (r#"build_info{version="0.1.0"}"#, 1.0),
        (r#"tls_handshakes_total{certificate="false",direction="outbound",version="1.3"}"#, 1.0),
        (r#"tls_handshake_failures_total{direction="inbound",reason="tls_no_certificate"}"#, 1.0),
        (r#"tls_reloads_total{files="upstream",result="kept"}"#, 0.0),
        ("route_nodes", 0.0),
        ("requests_open", 0.0),
        (r#"spans_recorded_total{endpoint="http://127.0.0.1:1"}"#, 0.0),
        (r#"spans_dropped_total{endpoint="http://127.0.0.1:1",reason="overflow"}"#, 0.0),
    ] {
        let found = value(&text, &format!("{PREFIX}{sample}"));
        assert!((found - expected).abs() < f64::EPSILON, "{sample} is {found}, not {expected}");
    }
}

#[test]
fn connections_are_counted_by_listener_and_limited_in_all() {
    let metrics = Metrics::new();
    let (inbound, route) = (metrics.inbound_listener(), metrics.route_listener());
    let first = inbound.open(2).expect("there is room");
    let _second = route.open(2).expect("there is room");
    assert!(inbound.open(2).is_none());
    let shown = text(&metrics);
    for (sample, expected) in [
        (r#"connections_accepted_total{listener="inbound"}"#, 2.0),
        (r#"connections_shed_total{listener="inbound"}"#, 1.0),
        (r#"connections_open{listener="inbound"}"#, 1.0),
        (r#"connections_open{listener="route"}"#, 1.0),
        (r#"connections_open{listener="outbound"}"#, 0.0),
    ] {
        let found = value(&shown, &format!("{PREFIX}{sample}"));
        assert!((found - expected).abs() < f64::EPSILON, "{sample} is {found}, not {expected}");
    }
    drop(first);
    assert!(inbound.open(2).is_some());
}

#[tokio::test]
async fn names_follow_the_rules_of_prometheus() {
    let text = text(&everything());
    let mut names = std::collections::HashSet::new();
    for line in text.lines() {
        let mut words = line.split(' ');
        match (words.next(), words.next(), words.next()) {
            (Some("#"), Some("HELP"), Some(name)) => {
                assert!(name.starts_with(PREFIX) || name.starts_with("process_"), "{name}");
                assert!(line.ends_with('.'), "a sentence: {line}");
                assert!(names.insert(name.to_owned()), "{name} comes twice");
            }
            (Some("#"), Some("TYPE"), Some(name)) => {
                let counter = line.ends_with(" counter");
                assert_eq!(counter, name.ends_with("_total"), "counters, and only they, end in _total: {line}");
                assert!(names.contains(name), "{name} has no help");
            }
            _ => assert!(!line.contains("NaN"), "{line}"),
        }
        for unit in ["_ms", "_milliseconds", "_kilobytes", "_count_total", "_seconds_seconds"] {
            assert!(!line.contains(unit), "base units only: {line}");
        }
    }
    assert!(names.len() > 35, "{}", names.len());
}

#[test]
fn the_process_shows_itself() {
    let text = text(&Metrics::new());
    let now = std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_secs_f64();
    assert!(value(&text, "process_open_fds") >= 3.0);
    assert!(value(&text, "process_max_fds") >= value(&text, "process_open_fds"));
    assert!(value(&text, "process_threads") >= 1.0);
    assert!(value(&text, "process_resident_memory_bytes") > 100_000.0);
    assert!(value(&text, "process_virtual_memory_bytes") >= value(&text, "process_resident_memory_bytes"));
    assert!(value(&text, "process_cpu_seconds_total") >= 0.0);
    let started = value(&text, "process_start_time_seconds");
    assert!((now - 3600.0..=now + 2.0).contains(&started), "{started} {now}");
}

/// The rules as Prometheus itself checks them, where its tool is installed.
#[tokio::test]
async fn promtool_finds_nothing() {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let spawned = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = spawned else {
        // Past the test's own capture of output, so that it is seen.
        let _ = writeln!(std::io::stderr(), "SKIPPED promtool_finds_nothing: promtool is not there (apt: prometheus)");
        return;
    };
    promtool.stdin.take().expect("piped").write_all(&everything().text()).expect("promtool reads");
    let output = promtool.wait_with_output().expect("promtool ends");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}
