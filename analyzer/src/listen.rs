//! Listening: accepts connections, serves HTTP/1 and HTTP/2 on them, and lets them finish when it is time to stop.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Connections per address: sidecars keep one each, browsers six; the rest of a usual limit on open files (20,000)
/// is for the database.
const CONNECTIONS_MAX: usize = 4096;

/// A head that takes longer is given up, so that idle connections of nobody in particular do not fill the table.
const HEAD_TIME_MAX: Duration = Duration::from_secs(30);

/// Requests that are open when it is time to stop have this long: twice what a commit takes on a slow disk.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(5);

/// HTTP/2 peers that vanished are noticed after one and a half of this.
const PING_EVERY: Duration = Duration::from_secs(20);

/// Binds an address; the error says what to do.
pub(crate) async fn bind(flag: &str, address: SocketAddr) -> Result<TcpListener, String> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("{flag} {address} is in use; stop what listens there, or choose another (port 0 takes a free one)")
        }
        io::ErrorKind::PermissionDenied => {
            format!("{flag} {address} is not allowed: {error}; ports below 1024 need a privilege, choose another")
        }
        _ => format!("{flag} {address} cannot be listened on: {error}; choose an address of this machine"),
    })
}

/// Serves until told to stop, and then until what is open is finished, or its time is up.
pub(crate) async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    let (connections, abandon) = (TaskTracker::new(), CancellationToken::new());
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let accept = async {
        // Waits for room before it accepts: who comes then waits in the system's queue instead of being turned away.
        while let Ok(permit) = room.clone().acquire_owned().await {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let (router, stop, abandon) = (router.clone(), stop.clone(), abandon.clone());
                    connections.spawn(async move {
                        tokio::select! {
                            () = connection(stream, router, stop) => {}
                            () = abandon.cancelled() => {}
                        }
                        drop(permit);
                    });
                }
                Err(error) => {
                    // Out of file descriptors, mostly: others must close some first.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    };
    tokio::select! {
        () = accept => {}
        () = stop.cancelled() => {}
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(DRAIN_TIME_MAX, connections.wait()).await.is_err() {
        tracing::warn!(connections = connections.len(), "requests that did not finish in time are abandoned");
        abandon.cancel();
        connections.wait().await;
    }
}

async fn connection(stream: TcpStream, router: Router, stop: CancellationToken) {
    // Answers are small and someone waits for them.
    let _ = stream.set_nodelay(true);
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIME_MAX);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(PING_EVERY).max_concurrent_streams(256);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error, "connection ended");
    }
}
