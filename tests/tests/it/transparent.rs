//! `--mode transparent`: an application behind redirect rules, untouched; callers and other services outside.

use std::net::SocketAddr;
use std::time::Duration;

use raceway_analyzer::api::types::{SpanKind, TraceView};
use raceway_tests::analyzer::{Analyzer, TraceExt};
use raceway_tests::http::{self, Answer};
use raceway_tests::netns::{Namespace, Program, Service, Sidecar, World};
use raceway_tests::{PATIENCE, skip};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};
use tokio::time::{Instant, sleep, timeout};

use crate::intercept::has;

const APPLICATION: &str = include_str!("../../fixtures/transparent_app.py");

pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) analyzer: Analyzer,
    pub(crate) sidecar: Sidecar,
    _application: Program,
    // Last: others write into it.
    folder: TempDir,
}

impl Scene {
    /// Everything runs, nothing is redirected yet.
    pub(crate) async fn new(flags: &str) -> Option<Self> {
        if !has(&["python3", "setpriv"]) {
            return None;
        }
        let world = World::new()?;
        let folder = tempfile::Builder::new().prefix("raceway-test-").tempdir().expect("a temporary folder");
        let application = world.inside.start("python3", &["-c", APPLICATION]);
        let analyzer = Analyzer::start_at(folder.path(), [10, 99, 0, 2].into()).await;
        let sidecar = world.inside.sidecar(analyzer.addresses().otlp_grpc, flags, folder.path()).await;
        Some(Self { world, analyzer, sidecar, _application: application, folder })
    }

    /// For the test's files.
    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    pub(crate) fn install(&self, more: &str) {
        let (code, said) = self.world.inside.intercept(&format!("install {more}"));
        assert_eq!(code, Some(0), "{said}");
    }

    pub(crate) async fn stop(mut self) {
        assert_eq!(self.world.inside.intercept("remove").0, Some(0));
        let left = self.world.inside.run("nft list ruleset");
        assert!(!left.to_lowercase().contains("raceway"), "{left}");
        let left = self.world.inside.run("ip rule; ip -6 rule; ip route show table all; ip -6 route show table all");
        assert!(!left.contains("15006"), "{left}");
        self.sidecar.stop().await;
        self.analyzer.stop().await;
        drop(self.folder);
    }
}

pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

async fn get(to: &str, path: &str) -> Answer {
    http::get(address(to), path, &[]).await
}

async fn traffic_both_ways_is_traced(backend: &str) {
    if !has(&[backend]) {
        return;
    }
    let Some(scene) = Scene::new("").await else { return };
    let mut other = Service::start(&[("10.99.0.2", 9000), ("fd99::2", 9000)]).await;
    let hosts = [("10.99.0.1", "10.99.0.2"), ("fd99::1", "fd99::2")];
    let door = |inside: &str| SocketAddr::new(inside.parse().expect("an address"), 8080).to_string();

    // Without us: the application sees its caller, and what it calls sees no header of ours.
    for (inside, outside) in hosts {
        let answer = get(&door(inside), "/").await;
        assert_eq!((answer.status, answer.text()), (200, format!("app for {outside}")));
        assert_eq!(get(&door(inside), &format!("/call/{outside}/9000/x")).await.text(), "outside");
        assert!(!other.head().await.contains("traceparent"));
    }
    assert_eq!(scene.analyzer.spans().await, 0);

    scene.install(&format!("--backend {backend}"));
    for (count, (inside, outside)) in hosts.into_iter().enumerate() {
        let before = 3 * count as u64;
        let answer = get(&door(inside), "/").await;
        // Behind a redirect the proxy is the peer: an address of the host's own, and never loopback.
        assert_eq!((answer.status, answer.text()), (200, format!("app for {inside}")));
        let answer = get(&door(inside), &format!("/call/{outside}/9000/x")).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "outside"));
        let head = other.head().await;
        assert!(head.contains("\ntraceparent: 00-") && head.contains("\nraceway-clock: v1;"), "{head}");
        scene.analyzer.settle(before + 3).await;
        let traces = scene.analyzer.traces().await;
        let called = traces.iter().find(|trace| {
            trace.spans.len() == 2
                && trace.spans.iter().any(|span| span.attributes.get("server.address") == Some(&outside.into()))
        });
        let called = called.expect("the request and its call are one trace");
        assert_eq!(called.family(), ["app client < app server", "app server < -"]);
        let client = called.span("app", SpanKind::Client);
        assert_eq!(client.attributes.get("server.port"), Some(&9000.into()), "{client:?}");
        assert!(!client.attributes.contains_key("peer.service"), "nobody has said who that is: {client:?}");
        let server = called.span("app", SpanKind::Server);
        assert_eq!(server.attributes.get("server.address"), Some(&inside.into()), "not what Host says: {server:?}");
        assert_eq!(server.attributes.get("server.port"), Some(&8080.into()), "{server:?}");
        assert_eq!(server.attributes.get("client.address"), Some(&outside.into()), "{server:?}");
    }
    scene.stop().await;
}

#[tokio::test]
async fn traffic_both_ways_is_traced_by_nft() {
    traffic_both_ways_is_traced("nft").await;
}

#[tokio::test]
async fn traffic_both_ways_is_traced_by_iptables() {
    traffic_both_ways_is_traced("iptables").await;
}

#[tokio::test]
async fn what_listens_on_loopback_only_stays_unreachable() {
    let Some(scene) = Scene::new("").await else { return };
    assert_eq!(http::try_send(address("10.99.0.1:8081"), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await, None);
    scene.install("");
    let answer = get("10.99.0.1:8081", "/").await;
    assert_eq!((answer.status, answer.header("x-raceway-error")), (502, Some("unreachable")), "{answer:?}");
    // Inside, it is there as ever, and nothing of it is seen.
    let seen = scene.sidecar.count(&["connections_accepted_total"]).await;
    assert_eq!(scene.world.inside.run("curl -s http://127.0.0.1:8081/ || true").trim(), "app for 127.0.0.1");
    assert!((scene.sidecar.count(&["connections_accepted_total"]).await - seen).abs() < 0.5);
    scene.stop().await;
}

/// Whether a connection ends, without a byte, once something is said on it.
async fn is_refused(to: &str) -> bool {
    let talk = async {
        let mut stream = TcpStream::connect(address(to)).await.ok()?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.ok()
    };
    !matches!(timeout(PATIENCE, talk).await.expect("an end in time"), Some(1..))
}

#[tokio::test]
async fn loops_are_refused_and_counted() {
    let Some(scene) = Scene::new("").await else { return };
    let loops = |direction: &'static str| {
        let direction = format!("direction=\"{direction}\"");
        let sidecar = &scene.sidecar;
        async move { sidecar.count(&["refused_total", &direction, "reason=\"loop\""]).await as u64 }
    };
    // Before any rule: nobody redirects, so whoever comes means the listener itself.
    assert!(is_refused("10.99.0.1:15006").await && is_refused("[fd99::1]:15006").await);
    assert_eq!(loops("inbound").await, 2);
    scene.install("--skip-inbound-port 8080");
    // Redirected, to where it was going already.
    assert!(is_refused("10.99.0.1:15006").await && is_refused("[fd99::1]:15006").await);
    // An address of this host that is not the one connections are redirected to.
    assert!(is_refused("203.0.113.1:15006").await);
    assert_eq!(loops("inbound").await, 5);
    // From inside, by loopback, which no rule touches.
    let answer = get("10.99.0.1:8080", "/call/127.0.0.1/15001/").await;
    assert_eq!(answer.status, 500, "{answer:?}");
    let answer = get("10.99.0.1:8080", "/call/::1/15001/").await;
    assert_eq!(answer.status, 500, "{answer:?}");
    assert_eq!(loops("outbound").await, 2);
    scene.stop().await;
}

#[tokio::test]
async fn a_sidecar_that_runs_as_the_wrong_user_does_not_call_itself_for_ever() {
    let Some(scene) = Scene::new("").await else { return };
    let _other = Service::start(&[("10.99.0.2", 9000)]).await;
    let (code, said) = scene.world.inside.intercept("install --uid 4242 --inbound-port off");
    assert_eq!(code, Some(0), "{said}");
    let answer = get("10.99.0.1:8080", "/call/10.99.0.2/9000/x").await;
    assert_ne!(answer.text(), "outside", "its own call comes back to it");
    assert!(scene.sidecar.count(&["refused_total", "outbound", "loop"]).await >= 1.0);
    let accepted = scene.sidecar.count(&["connections_accepted_total", "outbound"]).await;
    assert!(accepted < 50.0, "{accepted} connections came of one");
    assert!(scene.sidecar.log().contains("run the sidecar as the user"), "{}", scene.sidecar.log());
    assert_eq!(scene.world.inside.intercept("remove").0, Some(0));
    scene.stop().await;
}

/// A word with a server that speaks first and echoes what it hears until its caller has ended its side.
pub(crate) async fn greeted(to: impl ToSocketAddrs) -> String {
    let talk = async {
        let mut stream = TcpStream::connect(to).await.expect("it listens");
        let mut said = vec![0; 12];
        stream.read_exact(&mut said).await.expect("the greeting");
        stream.write_all(b"EHLO x\n").await.expect("it hears");
        stream.shutdown().await.expect("half-closed");
        stream.read_to_end(&mut said).await.expect("the echo");
        String::from_utf8_lossy(&said).into_owned()
    };
    timeout(PATIENCE, talk).await.expect("in time")
}

#[tokio::test]
async fn what_is_not_http_passes() {
    let Some(scene) = Scene::new("").await else { return };
    scene.install("");
    // A server that speaks first, inbound.
    assert_eq!(greeted("10.99.0.1:2525").await, "220 welcome\nEHLO x\n");
    // And one that the application calls.
    let listener = TcpListener::bind("10.99.0.2:2525").await.expect("a free port");
    let greeter = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a caller");
        stream.write_all(b"220 hi; ").await.expect("it hears");
        let mut said = String::new();
        stream.read_to_string(&mut said).await.expect("what it says");
        stream.write_all(said.trim().as_bytes()).await.expect("it hears");
    });
    let answer = get("10.99.0.1:8080", "/hear/10.99.0.2/2525").await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "220 hi; hello"));
    greeter.await.expect("no panic");
    scene.analyzer.settle_sidecars(2).await;
    let traces = scene.analyzer.traces().await;
    let tunnel = traces.iter().flat_map(|trace| &trace.spans).find(|span| span.kind == SpanKind::Client);
    let tunnel = tunnel.expect("a span for the connection");
    assert_eq!(tunnel.attributes.get("server.port"), Some(&2525.into()), "{tunnel:?}");
    scene.stop().await;
}

#[tokio::test]
async fn a_database_passes() {
    if !has(&["redis-server"]) {
        return;
    }
    let Some(scene) = Scene::new("").await else { return };
    let options = "--port 6379 --bind 0.0.0.0 --protected-mode no --save '' --logfile /dev/null --dir /";
    let _redis = scene.world.inside.start("sh", &["-c", &format!("echo starting; exec redis-server {options}")]);
    scene.install("");
    let until = Instant::now() + PATIENCE;
    loop {
        let talk = async {
            let mut stream = TcpStream::connect("10.99.0.1:6379").await.ok()?;
            stream.write_all(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n").await.ok()?;
            let mut answer = vec![0; 12];
            stream.read_exact(&mut answer).await.ok()?;
            Some(answer)
        };
        match timeout(PATIENCE, talk).await.expect("an end in time") {
            Some(answer) => break assert_eq!(String::from_utf8_lossy(&answer), "+OK\r\n$1\r\nv\r\n"),
            None => assert!(Instant::now() < until, "redis never answered"),
        }
        sleep(Duration::from_millis(20)).await;
    }
    scene.stop().await;
}

#[tokio::test]
async fn ports_declared_opaque_are_passed_as_they_are() {
    let Some(scene) = Scene::new("--opaque-port 8080,9000").await else { return };
    let mut other = Service::start(&[("10.99.0.2", 9000), ("fd99::2", 9000)]).await;
    scene.install("");
    for (count, (door, there)) in
        [("10.99.0.1:8080", "10.99.0.2"), ("[fd99::1]:8080", "fd99::2")].into_iter().enumerate()
    {
        let answer = get(door, &format!("/call/{there}/9000/x")).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "outside"));
        assert!(!other.head().await.contains("traceparent"));
        scene.analyzer.settle(count as u64 + 1).await;
    }
    let traces = scene.analyzer.traces().await;
    assert_eq!(traces.len(), 2, "inbound nothing is read either: {traces:?}");
    for trace in traces {
        let span = trace.span("app", SpanKind::Client);
        assert_eq!(span.attributes.get("network.transport"), Some(&"tcp".into()), "{span:?}");
    }
    scene.stop().await;
}

async fn skipped_go_their_way(backend: &str) {
    if !has(&[backend]) {
        return;
    }
    let Some(scene) = Scene::new("").await else { return };
    let places = [("10.99.0.2", 9000), ("10.99.0.2", 9001), ("203.0.113.2", 9000), ("fd99::2", 9000)];
    let mut other = Service::start(&places).await;
    let networks = "--skip-outbound-cidr 203.0.113.0/24,fd99::/64";
    scene.install(&format!("--backend {backend} --skip-inbound-port 8080 --skip-outbound-port 9001 {networks}"));
    for (there, redirected) in
        [("10.99.0.2/9000", true), ("10.99.0.2/9001", false), ("203.0.113.2/9000", false), ("fd99::2/9000", false)]
    {
        assert_eq!(get("10.99.0.1:8080", &format!("/call/{there}/x")).await.text(), "outside", "{there}");
        assert_eq!(other.head().await.contains("traceparent"), redirected, "{there}");
    }
    // The application sees who asks, by either protocol: nobody stood between.
    for (door, caller) in [("10.99.0.1:8080", "10.99.0.2"), ("[fd99::1]:8080", "fd99::2")] {
        assert_eq!(get(door, "/").await.text(), format!("app for {caller}"));
    }
    scene.stop().await;
}

#[tokio::test]
async fn skipped_ports_and_networks_go_their_way_by_nft() {
    skipped_go_their_way("nft").await;
}

#[tokio::test]
async fn skipped_ports_and_networks_go_their_way_by_iptables() {
    skipped_go_their_way("iptables").await;
}

#[tokio::test]
async fn link_local_addresses_are_reached() {
    if !has(&["curl"]) {
        return;
    }
    let Some(scene) = Scene::new("").await else { return };
    // Until the neighbours have had time to object, an address is not used as a source; a caller without such an address
    // does not tell which link it means.
    let until = Instant::now() + PATIENCE;
    while [&scene.world.inside, &scene.world.outside]
        .iter()
        .any(|host| host.run("ip -6 -o address show dev wire scope link").contains("tentative"))
    {
        assert!(Instant::now() < until, "addresses stay tentative");
        sleep(Duration::from_millis(20)).await;
    }
    let link_local = |host: &Namespace| {
        let listed = host.run("ip -6 -o address show dev wire scope link");
        let address =
            listed.split_whitespace().find(|word| word.starts_with("fe80:")).expect("every interface has one");
        address.split('/').next().expect("an address").to_owned()
    };
    let get = |host: &Namespace, there: &str, port: u16| {
        let retry = "--retry 20 --retry-all-errors --retry-delay 1 --connect-timeout 5";
        host.run(&format!("curl -g -s {retry} 'http://[{there}%25wire]:{port}/'"))
    };
    let outside = link_local(&scene.world.outside);
    let _server = scene.world.outside.start("python3", &["-c", APPLICATION]);
    scene.install("");
    // Inbound it is served; what leaves by a link is bound to it and cannot be redirected.
    let inside = link_local(&scene.world.inside);
    assert_eq!(get(&scene.world.outside, &inside, 8080), format!("app for {inside}"));
    assert!(get(&scene.world.inside, &outside, 8080).starts_with("app for fe80:"));
    scene.stop().await;
}

#[tokio::test]
async fn clocks_leave_the_house_by_address_only() {
    for (flags, clock) in [("", false), ("--propagate-to 203.0.113.0/24", true)] {
        let Some(scene) = Scene::new(flags).await else { return };
        let mut other = Service::start(&[("203.0.113.2", 9000)]).await;
        scene.install("");
        assert_eq!(get("10.99.0.1:8080", "/call/203.0.113.2/9000/x").await.text(), "outside");
        let head = other.head().await;
        assert!(head.contains("\ntraceparent: 00-"), "{head}");
        assert_eq!(head.contains("raceway"), clock, "{flags}: {head}");
        scene.stop().await;
    }
}

#[tokio::test]
async fn clocks_leave_the_house_by_address_whatever_the_name() {
    // A private address by any name; a public one only by names that are nobody else's, and those the operator lists.
    for (target, flags, clock) in [
        ("partner.example", "", true),
        ("payment", "", false),
        ("shop.example", "", false),
        ("shop.example", "--propagate-to *.example", true),
        ("payment.shop.svc", "", true),
    ] {
        let flags = format!("--mode explicit --outbound 10.99.0.1:3128 --outbound-allow 10.99.0.2 {flags}");
        let Some(scene) = Scene::new(&flags).await else { return };
        let mut other = Service::start(&[("203.0.113.2", 9000), ("10.99.0.2", 9000)]).await;
        let request = format!("GET http://{target}:9000/ HTTP/1.1\r\nHost: {target}:9000\r\nConnection: close\r\n\r\n");
        assert_eq!(http::send(address("10.99.0.1:3128"), request.as_bytes()).await.text(), "outside", "{target}");
        let head = other.head().await;
        assert!(head.contains("\ntraceparent: 00-"), "{head}");
        assert_eq!(head.contains("raceway"), clock, "{target} {flags}: {head}");
        scene.stop().await;
    }
}

#[tokio::test]
async fn http2_is_traced_too() {
    if !has(&["nghttpd", "curl"]) {
        return;
    }
    let Some(scene) = Scene::new("").await else { return };
    let server = "echo starting; exec nghttpd --no-tls --htdocs=/etc 8082";
    let _server = scene.world.inside.start("sh", &["-c", server]);
    scene.install("");
    let ask = "curl -s --http2-prior-knowledge --retry 20 --retry-all-errors --retry-delay 1 --max-time 20 \
               -o /dev/null -w '%{http_code} %{http_version}' http://[fd99::1]:8082/hostname";
    assert_eq!(scene.world.outside.run(ask), "200 2");
    let spans =
        |trace: &TraceView| trace.spans.iter().any(|span| span.attributes.get("server.port") == Some(&8082.into()));
    let until = Instant::now() + PATIENCE;
    while !scene.analyzer.traces().await.iter().any(spans) {
        assert!(Instant::now() < until, "no span of the request");
        sleep(Duration::from_millis(20)).await;
    }
    scene.stop().await;
}

#[tokio::test]
async fn nobody_waits_twice_for_a_target_that_does_not_answer() {
    let Some(scene) = Scene::new("--connect-timeout 2").await else { return };
    scene.install("--skip-inbound-port 8080");
    // No host has this address, and the neighbours' table says where it would be: SYNs vanish.
    scene.world.inside.run("ip neighbour add 10.99.0.77 lladdr 02:00:00:00:00:77 dev wire");
    let started = Instant::now();
    let answer = get("10.99.0.1:8080", "/call/10.99.0.77/9000/x").await;
    assert_eq!(answer.status, 504, "{answer:?}");
    let took = started.elapsed();
    assert!(took >= Duration::from_secs(2) && took < Duration::from_millis(3900), "{took:?}");
    // Nobody listens: a client that waits to be spoken to is not left waiting.
    let answer = timeout(PATIENCE, get("10.99.0.1:8080", "/hear/10.99.0.2/1")).await.expect("an end");
    assert_ne!(answer.status, 200, "{answer:?}");
    scene.stop().await;
}

#[tokio::test]
async fn a_listener_can_be_left_out() {
    let Some(world) = World::new() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let nowhere = address("127.0.0.1:9");
    let sidecar = world.inside.sidecar(nowhere, "--outbound off", folder.path()).await;
    let listening = world.inside.run("ss -Hltn || true");
    if listening.is_empty() {
        skip("ss is not installed");
    } else {
        assert!(listening.contains("0.0.0.0:15006") && listening.contains("[::]:15006"), "{listening}");
        assert!(!listening.contains(":15001"), "{listening}");
    }
    sidecar.stop().await;
}
