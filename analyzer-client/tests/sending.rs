//! Spans and counters that reach a receiver which is well.

mod support;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use raceway_analyzer_client::{Compression, EdgeCounters, Endpoint, Exporter, Protocol, Settings};
use support::grpc::{self, Ability};
use support::{Ledger, PATIENCE, Reply, free_address, http, record, settings, span, stop};
use tonic::codec::CompressionEncoding::Gzip;

const NEVER: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn a_full_batch_goes_out_before_its_time() {
    let ledger = Arc::new(Ledger::default());
    let receiver = grpc::receiver(free_address(), &ledger, Ability::default());
    let exporter = Exporter::start(Settings {
        batch_age_max: NEVER,
        batch_spans_max: 512,
        ..settings(receiver.address, Protocol::Grpc)
    });
    record(&exporter, 1..513);
    ledger.until_spans(1..513).await;
    let came = ledger.until_requests(1).await;
    assert_eq!((came.len(), came[0].encoding.as_deref()), (1, Some("zstd")));
    assert!(came[0].headers["user-agent"].starts_with("raceway-analyzer-client/"));
    ledger.look(|seen| {
        assert_eq!(seen.order, (1..513).collect::<Vec<_>>());
        assert!(seen.resources[0].contains("orders"), "{:?}", seen.resources);
    });
    let stats = stop(&exporter, PATIENCE).await;
    assert_eq!((stats.spans_sent, stats.progress.requests_accepted, stats.progress.connects), (512, 1, 1));
}

#[tokio::test]
async fn a_few_spans_go_out_when_they_are_old_enough() {
    let ledger = Arc::new(Ledger::default());
    let receiver = grpc::receiver(free_address(), &ledger, Ability::default());
    let exporter = Exporter::start(settings(receiver.address, Protocol::Grpc));
    record(&exporter, 1..4);
    ledger.until_spans(1..4).await;
    assert_eq!(stop(&exporter, PATIENCE).await.spans_sent, 3);
}

#[tokio::test]
async fn stopping_sends_what_waits() {
    for protocol in [Protocol::Grpc, Protocol::HttpProtobuf] {
        let ledger = Arc::new(Ledger::default());
        let receiver = match protocol {
            Protocol::Grpc => grpc::receiver(free_address(), &ledger, Ability::default()),
            Protocol::HttpProtobuf => http::receiver(free_address(), "", &ledger, &["zstd"]),
        };
        let alive_before = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        let exporter = Exporter::start(Settings { batch_age_max: NEVER, ..settings(receiver.address, protocol) });
        record(&exporter, 1..1000);
        exporter.record(&support::failed(1000));
        let stats = stop(&exporter, PATIENCE).await;
        assert_eq!(stats.spans_sent, 1000, "{protocol}");
        ledger.until_spans(1..1001).await;
        let alive = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        assert_eq!(alive, alive_before, "nothing that was started is still running");
        exporter.record(&span(1001));
        assert_eq!(exporter.stats()[0].dropped.stopped, 1);
    }
}

#[tokio::test]
async fn dropping_the_last_clone_ends_the_tasks() {
    let ledger = Arc::new(Ledger::default());
    let receiver = grpc::receiver(free_address(), &ledger, Ability::default());
    let exporter = Exporter::start(settings(receiver.address, Protocol::Grpc));
    let clone = exporter.clone();
    drop(exporter);
    record(&clone, 1..2);
    ledger.until_spans(1..2).await;
    drop(clone);
    let ended = async {
        while tokio::runtime::Handle::current().metrics().num_alive_tasks() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("all tasks end");
}

#[tokio::test]
async fn a_receiver_without_zstd_is_sent_gzip_and_one_without_gzip_nothing_packed() {
    for (encodings, expected, token) in
        [(&[Gzip][..], Compression::Gzip, Some("gzip")), (&[][..], Compression::None, None)]
    {
        let ledger = Arc::new(Ledger::default());
        let receiver = grpc::receiver(free_address(), &ledger, Ability { encodings, ..Ability::default() });
        let exporter = Exporter::start(settings(receiver.address, Protocol::Grpc));
        record(&exporter, 1..2);
        ledger.until_spans(1..2).await;
        record(&exporter, 2..3);
        ledger.until_spans(2..3).await;
        let came = ledger.until_requests(2).await;
        assert!(came.iter().all(|came| came.encoding.as_deref() == token), "{came:?}");
        let stats = stop(&exporter, PATIENCE).await;
        assert_eq!((stats.spans_sent, stats.progress.retries, stats.progress.compression), (2, 0, expected));
    }
    let ledger = Arc::new(Ledger::default());
    let receiver = http::receiver(free_address(), "", &ledger, &["gzip"]);
    let exporter = Exporter::start(settings(receiver.address, Protocol::HttpProtobuf));
    record(&exporter, 1..2);
    ledger.until_spans(1..2).await;
    assert_eq!(stop(&exporter, PATIENCE).await.progress.compression, Compression::Gzip);
}

#[tokio::test]
async fn http_goes_below_the_path_with_the_headers_asked_for() {
    let ledger = Arc::new(Ledger::default());
    let receiver = http::receiver(free_address(), "/otlp", &ledger, &[]);
    let endpoint = Endpoint::parse(&format!("http://{}/otlp/", receiver.address), Protocol::HttpProtobuf).unwrap();
    let endpoint = endpoint.with_compression(Compression::None).with_headers("authorization=Bearer%20key").unwrap();
    let defaults = settings(receiver.address, Protocol::HttpProtobuf);
    let exporter = Exporter::start(Settings { endpoints: vec![endpoint], ..defaults });
    record(&exporter, 1..10);
    ledger.until_spans(1..10).await;
    let came = &ledger.until_requests(1).await[0];
    assert_eq!((came.path.as_str(), came.encoding.as_deref()), ("/otlp/v1/traces", None));
    assert_eq!(came.headers["authorization"], "Bearer key");
    assert_eq!(came.headers["host"], receiver.address.to_string());
    stop(&exporter, PATIENCE).await;
}

#[tokio::test]
async fn every_endpoint_gets_every_span_though_another_is_down() {
    let (first, second) = (Arc::new(Ledger::default()), Arc::new(Ledger::default()));
    let up = grpc::receiver(free_address(), &first, Ability::default());
    let other = http::receiver(free_address(), "", &second, &["zstd"]);
    let endpoint = |address, protocol| settings(address, protocol).endpoints.remove(0);
    let exporter = Exporter::start(Settings {
        endpoints: vec![
            endpoint(free_address(), Protocol::Grpc),
            endpoint(up.address, Protocol::Grpc),
            endpoint(other.address, Protocol::HttpProtobuf),
        ],
        ..settings(up.address, Protocol::Grpc)
    });
    record(&exporter, 1..100);
    first.until_spans(1..100).await;
    second.until_spans(1..100).await;
    let down = stop(&exporter, Duration::from_millis(50)).await;
    assert_eq!((down.spans_sent, down.dropped.stopped), (0, 99));
}

#[tokio::test]
async fn no_endpoint_at_all_is_fine() {
    let nobody = Settings { endpoints: Vec::new(), ..settings(free_address(), Protocol::Grpc) };
    let exporter = Exporter::start(nobody);
    record(&exporter, 1..10);
    assert!(exporter.stop(PATIENCE).await.is_empty());
}

#[tokio::test]
async fn edge_counters_come_cumulative_and_once_more_at_the_end() {
    let ledger = Arc::new(Ledger::default());
    let receiver = grpc::receiver(free_address(), &ledger, Ability::default());
    let edges = EdgeCounters::new(SystemTime::now());
    let exporter = Exporter::start(Settings {
        edges: Some(edges.clone()),
        edges_every: Duration::from_millis(10),
        ..settings(receiver.address, Protocol::Grpc)
    });
    let calls = |request: &_| {
        let request: &opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest = request;
        let metric = &request.resource_metrics[0].scope_metrics[0].metrics[0];
        assert_eq!(metric.name, "raceway.edge.calls");
        let Some(Data::Sum(sum)) = &metric.data else { panic!("a sum") };
        let Some(Value::AsInt(calls)) = sum.data_points[0].value else { panic!("a whole number") };
        calls
    };
    edges.record("payment", Duration::from_millis(1), false);
    ledger.until("one call is known", |seen| seen.metrics.iter().any(|m| calls(m) == 1).then_some(())).await;
    edges.record("payment", Duration::from_millis(1), true);
    ledger.until("two calls are known", |seen| seen.metrics.iter().any(|m| calls(m) == 2).then_some(())).await;
    edges.record("payment", Duration::from_millis(1), true);
    let stats = stop(&exporter, PATIENCE).await;
    ledger.look(|seen| {
        assert_eq!(calls(seen.metrics.last().expect("there are some")), 3);
        assert!(seen.metrics.is_sorted_by_key(calls));
        assert_eq!(stats.progress.metrics_sent, seen.metrics.len() as u64);
    });
}

#[tokio::test]
async fn a_receiver_that_takes_no_metrics_still_gets_spans() {
    let ledger = Arc::new(Ledger::default());
    let receiver = grpc::receiver(free_address(), &ledger, Ability { metrics: false, ..Ability::default() });
    let edges = EdgeCounters::new(SystemTime::now());
    edges.record("payment", Duration::from_millis(1), false);
    let exporter = Exporter::start(Settings {
        edges: Some(edges),
        edges_every: Duration::from_millis(1),
        ..settings(receiver.address, Protocol::Grpc)
    });
    for n in 1..20 {
        record(&exporter, n..n + 1);
        ledger.until_spans(n..n + 1).await;
    }
    let stats = stop(&exporter, PATIENCE).await;
    assert_eq!((stats.spans_sent, stats.progress.metrics_sent), (19, 0));
    // Asked once, and once more at the end.
    assert_eq!((stats.progress.requests_refused, stats.progress.compression), (2, Compression::Zstd));
}

#[tokio::test]
async fn spans_that_the_receiver_rejects_are_counted_apart() {
    for protocol in [Protocol::Grpc, Protocol::HttpProtobuf] {
        let ledger = Arc::new(Ledger::default());
        ledger.script([Reply::Partial(2, "too old"), Reply::Partial(-1, ""), Reply::Partial(100, "")]);
        let receiver = match protocol {
            Protocol::Grpc => grpc::receiver(free_address(), &ledger, Ability::default()),
            Protocol::HttpProtobuf => http::receiver(free_address(), "", &ledger, &["zstd"]),
        };
        let exporter = Exporter::start(Settings {
            batch_age_max: NEVER,
            batch_spans_max: 5,
            ..settings(receiver.address, protocol)
        });
        for n in [1, 6, 11, 16] {
            record(&exporter, n..n + 5);
            ledger.until_spans(n..n + 5).await;
        }
        let stats = stop(&exporter, PATIENCE).await;
        assert_eq!((stats.spans_sent, stats.spans_rejected, stats.progress.retries), (13, 7, 0));
        assert_eq!(ledger.until_requests(4).await.len(), 4, "what was taken in part is not sent again");
    }
}
