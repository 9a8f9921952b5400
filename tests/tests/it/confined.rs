//! What a sidecar lets strangers do, and what it needs of its host itself: as little as possible, of both.

use std::time::Duration;

use raceway_tests::netns::{Service, World};
use raceway_tests::{PATIENCE, http, program};
use tokio::time::{Instant, sleep};

use crate::intercept::has;
use crate::transparent::{Scene, address};

#[tokio::test]
async fn the_forward_proxy_serves_this_host_only() {
    if !has(&["curl"]) {
        return;
    }
    let Some(scene) = Scene::new("--mode explicit --outbound 0.0.0.0:3128").await else { return };
    let proxy = address("10.99.0.1:3128");
    let absolute = "GET http://10.99.0.1:8080/ HTTP/1.1\r\nHost: 10.99.0.1:8080\r\n\r\n";
    let connect = "CONNECT 10.99.0.1:8080 HTTP/1.1\r\nHost: 10.99.0.1:8080\r\n\r\n";
    for request in [absolute, connect] {
        let answer = http::send(proxy, request.as_bytes()).await;
        assert_eq!((answer.status, answer.header("x-raceway-error")), (403, Some("not_allowed")), "{answer:?}");
        assert!(answer.text().contains("--outbound-allow"), "{answer:?}");
    }
    assert_eq!(scene.sidecar.count(&["refused_total", "outbound", "not_allowed"]).await as u64, 2);
    let ask = "curl -s --max-time 20 --proxy http://127.0.0.1:3128 http://10.99.0.1:8080/";
    assert_eq!(scene.world.inside.run(ask), "app for 10.99.0.1");
    scene.stop().await;
}

/// A user that nobody knows, no capability nor a way to one, and nothing that can be written.
#[tokio::test]
async fn nothing_is_needed_but_a_user_id() {
    if !has(&["setpriv"]) {
        return;
    }
    let Some(world) = World::new() else { return };
    // On a file system of its own, as the folders above it may be closed to others.
    let prepare = format!(
        "mount -t tmpfs none /mnt && cp {} /mnt/raceway && chmod 755 /mnt /mnt/raceway && \
         mount -o remount,ro /mnt && mount -o remount,bind,ro / && cd / && echo ready && exec",
        program().display()
    );
    let drop_all = "setpriv --reuid 54321 --regid 54321 --clear-groups --no-new-privs --bounding-set -all \
                    --inh-caps -all --ambient-caps -all --";
    let sidecar = "/mnt/raceway __proxy --service app --inbound 10.99.0.1:8000=10.99.0.2:9000 \
                   --admin 10.99.0.1:15020 --analyzer http://10.99.0.2:9";
    let line = format!("{prepare} {drop_all} {sidecar}");
    let _sidecar = world.inside.start("unshare", &["--mount", "sh", "-c", &line]);
    let mut app = Service::start(&[("10.99.0.2", 9000)]).await;
    let until = Instant::now() + PATIENCE;
    let request = b"GET /ready HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n";
    while http::try_send(address("10.99.0.1:15020"), request).await.is_none_or(|answer| answer.status != 200) {
        assert!(Instant::now() < until, "it is not ready");
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(http::get(address("10.99.0.1:8000"), "/", &[]).await.text(), "outside");
    assert!(app.head().await.contains("\ntraceparent: 00-"));
}
