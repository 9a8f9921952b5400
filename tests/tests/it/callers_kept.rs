//! `--inbound-source caller`: behind redirect rules the application sees who calls.

use std::net::SocketAddr;
use std::os::unix::fs::symlink;

use raceway_analyzer::api::types::SpanKind;
use raceway_tests::netns::{Service, World};
use raceway_tests::{PATIENCE, http, program};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::intercept::has;
use crate::transparent::{Scene, address, greeted};

const CALLER: &str = "--inbound-source caller";

/// Inside and outside.
const HOSTS: [(&str, &str); 2] = [("10.99.0.1", "10.99.0.2"), ("fd99::1", "fd99::2")];

fn door(inside: &str, port: u16) -> SocketAddr {
    SocketAddr::new(inside.parse().expect("an address"), port)
}

/// Asks who asks, on a connection that stays open.
async fn who_am_i(stream: &mut TcpStream, expected: &str) {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: app\r\n\r\n").await.expect("it is open");
    let (mut answer, expected) = (Vec::new(), format!("\r\n\r\napp for {expected}"));
    while !answer.ends_with(expected.as_bytes()) {
        let more = timeout(PATIENCE, stream.read_buf(&mut answer)).await;
        let more = more.unwrap_or_else(|_| panic!("{expected}, not {:?}", String::from_utf8_lossy(&answer)));
        assert!(more.expect("an answer") > 0, "{expected}, not {:?}", String::from_utf8_lossy(&answer));
    }
}

/// Everything that has to be as without a sidecar, or as behind a redirect.
async fn callers_are_seen(install: impl FnOnce(&Scene)) {
    let Some(scene) = Scene::new(CALLER).await else { return };
    let mut other = Service::start(&[("10.99.0.2", 9000), ("fd99::2", 9000)]).await;
    // Connections that are open already go on as they are.
    let mut earlier = TcpStream::connect("10.99.0.1:8080").await.expect("it listens");
    who_am_i(&mut earlier, "10.99.0.2").await;
    install(&scene);
    who_am_i(&mut earlier, "10.99.0.2").await;
    assert!(scene.sidecar.count(&["connections_accepted_total", "inbound"]).await < 0.5);

    for (inside, outside) in HOSTS {
        let mut stream = TcpStream::connect(door(inside, 8080)).await.expect("it listens");
        for _ in 0..3 {
            who_am_i(&mut stream, outside).await;
        }
        // Calls go out as ever.
        let answer = http::get(door(inside, 8080), &format!("/call/{outside}/9000/x"), &[]).await;
        assert_eq!(answer.text(), "outside");
        assert!(other.head().await.contains("\ntraceparent: 00-"));
        // A server that speaks first, and half-closed connections.
        assert_eq!(greeted(door(inside, 2525)).await, "220 welcome\nEHLO x\n");
        // Nobody listens: the same answer as from this host's own address.
        let answer = http::get(door(inside, 9), "/", &[]).await;
        assert_eq!((answer.status, answer.header("x-raceway-error")), (502, Some("unreachable")), "{answer:?}");
        // From inside nothing is taken, by whichever address.
        for itself in [inside, "127.0.0.1"] {
            let url = if itself.contains(':') { format!("[{itself}]") } else { itself.to_owned() };
            let said = scene.world.inside.run(&format!("curl -g -s http://{url}:8080/ || true"));
            assert_eq!(said, format!("app for {itself}"));
        }
    }
    let answer = http::get(address("10.99.0.1:8081"), "/", &[]).await;
    assert_eq!(answer.status, 502, "what is bound to loopback stays unreachable: {answer:?}");

    // Many at once.
    let mut many = JoinSet::new();
    for place in 0..200 {
        let (inside, outside) = HOSTS[place % HOSTS.len()];
        many.spawn(async move {
            let mut stream = TcpStream::connect(door(inside, 8080)).await.expect("it listens");
            for _ in 0..3 {
                who_am_i(&mut stream, outside).await;
            }
        });
    }
    while let Some(done) = many.join_next().await {
        done.expect("every caller is answered");
    }

    // Its own port leads nowhere, by whichever address.
    for there in ["10.99.0.1:15006", "[fd99::1]:15006", "203.0.113.1:15006"] {
        assert_eq!(http::try_send(address(there), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await, None, "{there}");
    }
    assert!(scene.sidecar.count(&["refused_total", "inbound", "reason=\"loop\""]).await > 2.5);

    // Two hosts with three requests, one with a call, and one to nobody; one more to nobody; and many callers' three.
    scene.analyzer.settle(2 * (3 + 2 + 1) + 1 + 200 * 3).await;
    let traces = scene.analyzer.traces().await;
    let servers = traces.iter().flat_map(|trace| &trace.spans).filter(|span| span.kind == SpanKind::Server);
    for span in servers {
        let caller = span.attributes.get("client.address");
        assert!(HOSTS.iter().any(|(_, outside)| caller == Some(&(*outside).into())), "{span:?}");
    }
    scene.stop().await;
}

#[tokio::test]
async fn callers_are_seen_by_nft() {
    if has(&["nft", "curl"]) {
        callers_are_seen(|scene| scene.install(&format!("--backend nft {CALLER}"))).await;
    }
}

#[tokio::test]
async fn callers_are_seen_by_iptables() {
    if has(&["iptables", "ip6tables", "curl"]) {
        callers_are_seen(|scene| scene.install(&format!("--backend iptables {CALLER}"))).await;
    }
}

#[tokio::test]
async fn callers_are_seen_by_the_older_iptables() {
    if !has(&["iptables-legacy", "ip6tables-legacy", "curl"]) {
        return;
    }
    callers_are_seen(|scene| {
        // The same tools by other names: those that write into the kernel's older tables.
        let tools = scene.folder().join("legacy");
        std::fs::create_dir(&tools).expect("the folder can be written");
        for tool in ["iptables", "ip6tables"].iter().flat_map(|it| ["", "-save", "-restore"].map(|verb| (*it, verb))) {
            let real = format!("/usr/sbin/{}-legacy{}", tool.0, tool.1);
            symlink(real, tools.join(format!("{}{}", tool.0, tool.1))).expect("the folder can be written");
        }
        let run = |args: &str| {
            let (path, program) = (tools.display(), program().display().to_string());
            scene.world.inside.run(&format!("PATH={path}:$PATH {program} __proxy intercept {args}"))
        };
        let saved = "iptables-legacy-save; ip6tables-legacy-save";
        for source in ["own", "caller"] {
            let install = format!("install --backend iptables --inbound-source {source}");
            let said = run(&install);
            assert!(said.contains("iptables ip: ") && said.contains("iptables ip6: "), "{said}");
            assert!(scene.world.inside.run(saved).contains("RACEWAY_INBOUND"));
            let once = run("show");
            run(&install);
            assert_eq!(run("show"), once);
            run("remove");
            assert!(!scene.world.inside.run(saved).contains("RACEWAY"));
        }
        run(&format!("install --backend iptables {CALLER}"));
    })
    .await;
}

#[tokio::test]
async fn what_is_missing_is_told() {
    let Some(world) = World::new() else { return };
    let program = program().display().to_string();
    let run = "--service a --mode transparent --inbound-source caller --admin off";
    let without =
        "setpriv --reuid 1500 --regid 1500 --clear-groups --inh-caps +dac_override --ambient-caps +dac_override";
    for (line, named) in [
        (format!("{without} {program} __proxy {run}"), "--inbound-source caller: the application cannot be called"),
        (
            format!("{program} __proxy --service a --inbound 127.0.0.1:0=app:80 {CALLER}"),
            "--inbound-source caller is about connections redirected here",
        ),
        (format!("{program} __proxy {run} --inbound off"), "--inbound-source caller is about"),
        (format!("{program} __proxy {}", run.replace("caller", "host")), "must be own or caller"),
        (format!("{program} __proxy intercept install --inbound-source host"), "must be own or caller"),
        (format!("{program} __proxy intercept install --inbound-port off {CALLER}"), "give --inbound-port too"),
    ] {
        let said = world.inside.run(&format!("{line} 2>&1; echo $?"));
        assert!(said.contains(named) && said.trim_end().ends_with("\n2"), "{line}: {said}");
        assert_eq!(said.lines().count(), 2, "{line}: {said}");
    }
    // No `ip` where it lies.
    let hidden = "for it in $(which -a ip) /sbin/ip /usr/sbin/ip; do mount --bind /dev/null $it; done 2>/dev/null";
    let install = format!("{program} __proxy intercept install {CALLER}");
    let said = world.inside.run(&format!("unshare --mount sh -c '{hidden}; {install}' 2>&1; true"));
    assert!(said.contains("ip is not here") && said.contains("install iproute2"), "{said}");
    assert_eq!(world.inside.intercept("show"), (Some(0), "nothing is installed\n".to_owned()));
}

#[tokio::test]
async fn rules_and_sidecar_that_do_not_fit_are_told() {
    let Some(scene) = Scene::new(CALLER).await else { return };
    let ask = || http::try_send(address("10.99.0.1:8080"), b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    scene.install("");
    assert_eq!(ask().await, None);
    assert!(scene.sidecar.log().contains("intercept install` with --inbound-source caller too"));
    assert!(scene.sidecar.count(&["refused_total", "inbound", "reason=\"loop\""]).await > 0.5);
    scene.install(CALLER);
    assert_eq!(ask().await.map(|answer| answer.text()), Some("app for 10.99.0.2".to_owned()));
    scene.stop().await;
}

#[tokio::test]
async fn nobody_passes_a_sidecar_that_is_not_there() {
    let Some(world) = World::new() else { return };
    if !has(&["python3", "nft"]) {
        return;
    }
    let serve = "import http.server as h; s = h.HTTPServer(('', 8080), h.BaseHTTPRequestHandler); print('ready', flush=True); s.serve_forever()";
    let _application = world.inside.start("python3", &["-c", serve]);
    let (code, said) = world.inside.intercept(&format!("install --backend nft {CALLER}"));
    assert_eq!(code, Some(0), "{said}");
    let refused = timeout(PATIENCE, TcpStream::connect("10.99.0.1:8080")).await.expect("an end in time");
    assert!(refused.is_err(), "as behind a redirect");
    assert_eq!(world.inside.intercept("remove").0, Some(0));
    timeout(PATIENCE, TcpStream::connect("10.99.0.1:8080")).await.expect("in time").expect("the application itself");
}

#[tokio::test]
async fn a_route_that_somebody_took_away_is_missed() {
    let Some(world) = World::new() else { return };
    let inside = &world.inside;
    for backend in ["nft", "iptables"] {
        if !has(&[backend]) {
            continue;
        }
        let install = format!("install --backend {backend} {CALLER}");
        for damage in ["ip rule del pref 15006", "ip -6 rule del pref 15006", "ip route flush table 15006"] {
            let (code, said) = inside.intercept(&install);
            assert_eq!(code, Some(0), "{said}");
            let (code, once) = inside.intercept("show");
            assert_eq!(code, Some(0), "{once}");
            assert!(once.contains("routing ip: 2 rules") && once.contains("routing ip6: 2 rules"), "{once}");
            assert_eq!(inside.intercept(&install).0, Some(0));
            assert_eq!(inside.intercept("show").1, once, "installed twice is installed once");
            inside.run(damage);
            let (code, said) = inside.intercept("show");
            assert_eq!(code, Some(1), "{damage}: {said}");
            assert!(said.contains("only partly installed"), "{damage}: {said}");
        }
        // What a dry run prints does the same.
        let listed = "nft list ruleset | grep raceway; ip rule; ip -6 rule; ip route show table 15006; ip -6 route show table 15006";
        assert_eq!(inside.intercept(&install).0, Some(0));
        let installed = inside.run(listed);
        assert_eq!(inside.intercept("remove").0, Some(0));
        let (code, script) = inside.intercept(&format!("{install} --dry-run"));
        assert_eq!(code, Some(0), "{script}");
        inside.run(&script);
        assert_eq!(inside.run(listed), installed, "{backend}");
        // Without callers' addresses nothing of it is left.
        assert_eq!(inside.intercept(&format!("install --backend {backend}")).0, Some(0));
        let left = inside.run("ip rule; ip -6 rule; ip route show table all; ip -6 route show table all");
        assert!(!left.contains("15006"), "{left}");
        assert_eq!(inside.intercept(&install).0, Some(0));
        assert_eq!(inside.intercept(&format!("remove --backend {backend}")).0, Some(0));
        assert_eq!(inside.intercept("show"), (Some(0), "nothing is installed\n".to_owned()));
    }
}
