//! A conversation as a script: who says which bytes when, and what the other one hears.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// How long a side waits for what it should hear.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Side {
    Caller,
    App,
}

#[derive(Clone, Debug)]
pub(super) enum Act {
    Say(Vec<u8>),
    /// No more will be said (FIN).
    End,
    /// The connection is broken (RST).
    Reset,
    /// Nobody does anything: this is what the side hears, from a sidecar only.
    Hear(Vec<u8>),
}

/// One act, and what the other side notices of it.
#[derive(Clone, Debug)]
pub(super) struct Step {
    side: Side,
    act: Act,
    /// What arrives, where it is not what was said.
    arrives: Option<Vec<u8>>,
}

impl Step {
    /// What is heard through a sidecar instead.
    pub(super) fn arrives_as(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.arrives = Some(bytes.as_ref().to_vec());
        self
    }
}

pub(super) fn caller(bytes: impl AsRef<[u8]>) -> Step {
    Step { side: Side::Caller, act: Act::Say(bytes.as_ref().to_vec()), arrives: None }
}

pub(super) fn app(bytes: impl AsRef<[u8]>) -> Step {
    Step { side: Side::App, act: Act::Say(bytes.as_ref().to_vec()), arrives: None }
}

pub(super) fn ends(side: Side) -> Step {
    Step { side, act: Act::End, arrives: None }
}

pub(super) fn resets(side: Side) -> Step {
    Step { side, act: Act::Reset, arrives: None }
}

pub(super) fn hears(side: Side, bytes: impl AsRef<[u8]>) -> Step {
    Step { side, act: Act::Hear(bytes.as_ref().to_vec()), arrives: None }
}

/// One end of the conversation and everything it heard.
struct End {
    stream: Option<TcpStream>,
    heard: Vec<u8>,
    expected: Vec<u8>,
}

impl End {
    fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("an open socket");
        Self { stream: Some(stream), heard: Vec::new(), expected: Vec::new() }
    }

    async fn hear(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.expected.extend_from_slice(bytes);
        let Some(stream) = &mut self.stream else { return Err("has left".to_owned()) };
        loop {
            let heard = without_ours(&self.heard);
            if heard == self.expected {
                return Ok(());
            }
            let difference = || format!("heard {:?}\n  and not {:?}", text(&heard), text(&self.expected));
            match timeout(PATIENCE, stream.read_buf(&mut self.heard)).await {
                Ok(Ok(1..)) => {}
                Ok(Ok(0)) => return Err(format!("the end came early: {}", difference())),
                Ok(Err(error)) => return Err(format!("{error}: {}", difference())),
                Err(_) => return Err(format!("nothing came: {}", difference())),
            }
        }
    }

    /// Hears the end: `true` for FIN, `false` for RST.
    async fn hear_end(&mut self) -> Result<bool, String> {
        let Some(stream) = &mut self.stream else { return Err("has left".to_owned()) };
        match timeout(PATIENCE, stream.read_buf(&mut self.heard)).await {
            Ok(Ok(0)) => Ok(true),
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset => Ok(false),
            Ok(Ok(_)) => Err(format!("more came: {:?}", text(&self.heard))),
            other => Err(format!("the end did not come: {other:?}")),
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Lines that sidecars add, and nothing else, taken out.
pub(super) fn without_ours(bytes: &[u8]) -> Vec<u8> {
    const OURS: [&[u8]; 4] = [b"traceparent:", b"tracestate:", b"raceway-clock:", b"x-raceway-"];
    let ours = |line: &&[u8]| {
        OURS.iter().any(|name| line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)))
            && line.ends_with(b"\r\n")
    };
    bytes.split_inclusive(|&byte| byte == b'\n').filter(|line| !ours(line)).collect::<Vec<_>>().concat()
}

/// Plays a script between a caller at `door` and an application at `listener`, with so many sidecars between.
pub(super) async fn play(
    steps: &[Step],
    door: SocketAddr,
    listener: &TcpListener,
    sidecars: usize,
) -> Result<(), String> {
    let stream = TcpStream::connect(door).await.map_err(|error| error.to_string())?;
    let accepted = timeout(PATIENCE, listener.accept()).await.map_err(|_| "nobody came to the application")?;
    let mut caller = End::new(stream);
    let mut app = End::new(accepted.map_err(|error| error.to_string())?.0);
    for (place, Step { side, act, arrives }) in steps.iter().enumerate() {
        let (speaker, other) = match side {
            Side::Caller => (&mut caller, &mut app),
            Side::App => (&mut app, &mut caller),
        };
        let at = |what: String| format!("step {place}, after the {side:?}: {what}");
        match act {
            Act::Say(bytes) => {
                let Some(stream) = &mut speaker.stream else { return Err(at("it has left".to_owned())) };
                stream.write_all(bytes).await.map_err(|error| at(error.to_string()))?;
                let arrives = arrives.as_ref().filter(|_| sidecars > 0).unwrap_or(bytes);
                other.hear(arrives).await.map_err(at)?;
            }
            Act::End => {
                let Some(stream) = &mut speaker.stream else { return Err(at("it has left".to_owned())) };
                stream.shutdown().await.map_err(|error| at(error.to_string()))?;
                if !other.hear_end().await.map_err(at)? {
                    return Err(at("a reset came, not an end".to_owned()));
                }
            }
            Act::Reset => {
                if let Some(stream) = speaker.stream.take() {
                    stream.set_zero_linger().map_err(|error| at(error.to_string()))?;
                }
                if other.hear_end().await.map_err(at)? {
                    return Err(at("an end came, not a reset".to_owned()));
                }
            }
            Act::Hear(bytes) => {
                if sidecars > 0 {
                    speaker.hear(bytes).await.map_err(at)?;
                }
            }
        }
    }
    Ok(())
}
