//! An application that takes anything, a sidecar before it, and a bystander whose connection must not notice.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use raceway_tests::{Chain, PATIENCE};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// What an application says to a request; the connection stays open.
pub(super) type Says = Arc<dyn Fn(&str) -> Vec<u8> + Send + Sync>;

pub(super) struct Stage {
    pub(super) chain: Chain,
    heard: Arc<Mutex<Vec<u8>>>,
    bystander: TcpStream,
    _app: JoinSet<()>,
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

impl Stage {
    pub(super) async fn new(flags: &[&str]) -> Self {
        Self::saying(flags, Arc::new(|_| OK.to_vec())).await
    }

    pub(super) async fn saying(flags: &[&str], says: Says) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let heard = Arc::<Mutex<Vec<u8>>>::default();
        let mut app = JoinSet::new();
        app.spawn(serve(listener, Arc::clone(&heard), says));
        let chain = Chain::with(address, 1, flags).await;
        let bystander = TcpStream::connect(chain.door()).await.expect("it listens");
        let mut stage = Self { chain, heard, bystander, _app: app };
        stage.others_are_well().await;
        stage
    }

    pub(super) fn door(&self) -> SocketAddr {
        self.chain.door()
    }

    /// Everything that the application has heard since the last time.
    pub(super) fn heard(&self) -> String {
        let heard = std::mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner));
        String::from_utf8_lossy(&heard).into_owned()
    }

    /// The bystander's connection, open since the beginning, still serves.
    pub(super) async fn others_are_well(&mut self) {
        let exchange = async {
            self.bystander.write_all(b"GET /bystander HTTP/1.1\r\nHost: app\r\n\r\n").await.expect("it takes it");
            let mut answer = Vec::new();
            while !answer.ends_with(b"\r\n\r\nok") {
                assert!(self.bystander.read_buf(&mut answer).await.expect("it answers") > 0, "another's trouble");
            }
        };
        timeout(PATIENCE, exchange).await.expect("others are served in time");
    }

    pub(super) async fn stop(self) {
        drop(self.bystander);
        self.chain.stop().await;
    }
}

async fn serve(listener: TcpListener, heard: Arc<Mutex<Vec<u8>>>, says: Says) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(answer(stream, Arc::clone(&heard), Arc::clone(&says)));
    }
}

/// Reads heads and does not look at bodies: only what passes in front of it keeps them apart.
async fn answer(mut stream: TcpStream, heard: Arc<Mutex<Vec<u8>>>, says: Says) {
    let mut input = Vec::new();
    while let Ok(1..) = stream.read_buf(&mut input).await {
        while let Some(end) = input.windows(4).position(|window| window == b"\r\n\r\n") {
            let head: Vec<u8> = input.drain(..end + 4).collect();
            let shown = String::from_utf8_lossy(&head).into_owned();
            heard.lock().unwrap_or_else(PoisonError::into_inner).extend(head);
            if shown.contains(" HTTP/1.") && stream.write_all(&says(&shown)).await.is_err() {
                return;
            }
        }
        // Bodies that go on for ever are not kept.
        if input.len() > 1 << 16 {
            input.drain(..input.len() - 3);
        }
    }
}

/// Sends bytes on a connection of their own and reads until it ends.
pub(super) async fn send(to: SocketAddr, bytes: &[u8]) -> String {
    let exchange = async {
        let mut stream = TcpStream::connect(to).await.expect("it listens");
        // It may be refused before all of it is written.
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        while let Ok(1..) = stream.read_buf(&mut answer).await {}
        String::from_utf8_lossy(&answer).into_owned()
    };
    timeout(PATIENCE, exchange).await.unwrap_or_else(|_| "it neither answered nor closed".to_owned())
}
