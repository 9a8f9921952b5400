//! Connections: from accept to close.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use raceway_tls::Alpn;
use tokio::net::{TcpListener, TcpStream};

use crate::config::{HostPort, Inbound, Route};
use crate::conn::Conn;
use crate::detect::{self, Protocol};
use crate::failure::Failure;
use crate::hello::Hello;
use crate::http1::{Framing, RequestHead, TargetForm};
use crate::listen;
use crate::metrics::Calls;
use crate::pair::{Next, Pair};
use crate::pump::Pump;
use crate::record::TcpSpan;
use crate::sidecar::Sidecar;
use crate::terminate::Opened;
use crate::upstream::{Failed, Target};
use crate::{hello, inbound, outbound, relay2, tunnel};

/// Connections to other authorities that one client of the forward proxy keeps open through us. Clients pool per
/// authority themselves, so a second one on the same connection is rare.
const PROXY_AUTHORITIES_MAX: usize = 8;

/// Which way a connection's requests go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Way {
    /// To the application.
    Inbound,
    /// From the application.
    Outbound,
}

impl Way {
    pub(crate) fn calls(self, sidecar: &Sidecar) -> &Calls {
        match self {
            Self::Inbound => &sidecar.metrics.inbound,
            Self::Outbound => &sidecar.metrics.outbound,
        }
    }
}

impl From<&Inbound> for Target {
    fn from(inbound: &Inbound) -> Self {
        Target::new(&inbound.target, None)
    }
}

impl From<&Route> for Target {
    fn from(route: &Route) -> Self {
        let mut target = Target::new(&route.target, route.name.clone());
        target.tls = route.tls;
        target
    }
}

/// Serves `--inbound`: what comes goes to the application.
pub(crate) async fn inbound(sidecar: Arc<Sidecar>, listener: TcpListener, target: Target, http2: bool) {
    let metrics = sidecar.metrics.inbound_listener();
    let target = Arc::new(target);
    listen::accept(listener, sidecar.room(), sidecar.drain.clone(), metrics, move |stream, caller| {
        let (sidecar, mut target) = (Arc::clone(&sidecar), Arc::clone(&target));
        if let Some(version) = sidecar.config.send_proxy_protocol
            && let Ok(here) = stream.local_addr()
        {
            Arc::make_mut(&mut target).preamble = Some(version.preamble(caller, here));
        }
        async move {
            match &sidecar.termination {
                None => serve(sidecar, stream, target, Way::Inbound, caller).await,
                Some(_) => Box::pin(terminate(sidecar, stream, target, http2, caller)).await,
            }
        }
    })
    .await;
}

/// Serves `--route`: what the application sends there goes to one place.
pub(crate) async fn route(sidecar: Arc<Sidecar>, listener: TcpListener, target: Target) {
    let (metrics, target) = (sidecar.metrics.route_listener(), Arc::new(target));
    listen::accept(listener, sidecar.room(), sidecar.drain.clone(), metrics, move |stream, caller| {
        serve(Arc::clone(&sidecar), stream, Arc::clone(&target), Way::Outbound, caller)
    })
    .await;
}

/// Serves `--outbound`: a forward proxy for clients that honour `http_proxy`.
pub(crate) async fn forward_proxy(sidecar: Arc<Sidecar>, listener: TcpListener) {
    let metrics = sidecar.metrics.outbound_listener();
    listen::accept(listener, sidecar.room(), sidecar.drain.clone(), metrics, move |stream, caller| {
        proxy(Arc::clone(&sidecar), stream, caller)
    })
    .await;
}

/// Serves one connection that leads to one place. Connections are many and mostly idle, so what they wait in is kept
/// small: it stands in the pair from the start, as what is handed on from one future to the next has room in both.
pub(crate) async fn serve(sidecar: Arc<Sidecar>, stream: TcpStream, target: Arc<Target>, way: Way, caller: SocketAddr) {
    let mut pair = Box::new(Pair::new(Conn::new(stream)));
    // Dialled at once, as whoever speaks first decides what this is. Behind TLS nobody speaks first, and what to ask
    // for there depends on what the caller speaks.
    if !target.tls {
        pair.dial(&sidecar.dialer, &target).await;
    }
    if let Some(Failed { failure: Failure::Unreachable { error, .. }, .. }) = &pair.failed
        && error.kind() == io::ErrorKind::ConnectionReset
    {
        return pair.down.reset();
    }
    converse(sidecar, pair, target, way, caller).await;
}

/// Serves a caller who comes by TLS, or may. The application hears of nobody whose handshake fails.
pub(crate) async fn terminate(
    sidecar: Arc<Sidecar>,
    stream: TcpStream,
    target: Arc<Target>,
    http2: bool,
    caller: SocketAddr,
) {
    let Some(termination) = &sidecar.termination else { return };
    let mut up = None;
    if termination.plain_text() {
        up = Some(sidecar.dialer.dial(&target).await.map_err(Failed::from));
    }
    let application = up.as_mut().and_then(|up| up.as_mut().ok());
    match termination.open(&sidecar, stream, http2, application).await {
        Opened::Ready(down) => {
            let mut pair = Box::new(Pair::new(down));
            match up {
                Some(Ok(up)) => pair.up = Some(up),
                Some(Err(failed)) if failed.is_recent() => pair.failed = Some(failed),
                _ => pair.dial(&sidecar.dialer, &target).await,
            }
            converse(Arc::clone(&sidecar), pair, target, Way::Inbound, caller).await;
        }
        Opened::Refused(stream) => {
            let mut pair = Box::new(Pair::new(Conn::new(stream)));
            if !matches!(pair.next(&sidecar.limits, sidecar.patience()).await, Next::Over | Next::Idle) {
                refuse(&sidecar, pair, Way::Inbound, &Failure::TlsRequired).await;
            }
        }
        Opened::Gone => {}
    }
}

async fn converse(sidecar: Arc<Sidecar>, mut pair: Box<Pair>, target: Arc<Target>, way: Way, caller: SocketAddr) {
    if sidecar.config.is_opaque(target.port) {
        return Box::pin(bytes(&sidecar, pair, &target, way)).await;
    }
    let caller = caller.ip().to_string().into();
    let limits = (sidecar.limits.head_bytes, sidecar.config.header_timeout);
    let Pair { down, up, failed, .. } = &mut *pair;
    match detect::protocol(down, up.as_mut(), failed.is_some(), limits).await {
        Protocol::Http1 => http1(&sidecar, pair, &target, way, caller).await,
        Protocol::Http2 => Box::pin(http2(&sidecar, pair, target, way, caller)).await,
        Protocol::Other => Box::pin(bytes(&sidecar, pair, &target, way)).await,
        Protocol::Nothing => {}
    }
}

async fn http1(sidecar: &Arc<Sidecar>, mut pair: Box<Pair>, target: &Arc<Target>, way: Way, caller: Arc<str>) {
    loop {
        match pair.next(&sidecar.limits, sidecar.patience()).await {
            Next::Request => {}
            Next::Over => return,
            Next::Idle => return way.calls(sidecar).idle("http1"),
            Next::Refused(failure) => return refuse(sidecar, pair, way, &failure).await,
        }
        if let Err(failure) = admit(sidecar, &pair.request) {
            return refuse(sidecar, pair, way, &failure).await;
        }
        let _open = sidecar.drain.guard();
        let mut exchange = pair.exchange(sidecar, way.calls(sidecar), target);
        match way {
            Way::Inbound => inbound::carry(sidecar, &mut exchange, target, &caller).await,
            Way::Outbound => outbound::carry(sidecar, &mut exchange, target).await,
        }
        let (persistent, reset) = (exchange.persistent(), exchange.reset());
        if !persistent {
            return pair.end(reset).await;
        }
    }
}

/// Whether a request that is well-formed may pass.
fn admit(sidecar: &Sidecar, request: &RequestHead) -> Result<(), Failure> {
    if sidecar.full() {
        return Err(Failure::Overloaded);
    }
    // Some servers go by the target, others by Host (RFC 9112, section 3.2.2).
    if matches!(request.target_form(), TargetForm::Absolute { .. }) && !request.host_agrees() {
        return Err(Failure::BadRequest("host_contradicts_target"));
    }
    Ok(())
}

async fn http2(sidecar: &Arc<Sidecar>, pair: Box<Pair>, target: Arc<Target>, way: Way, caller: Arc<str>) {
    let idle = sidecar.config.idle_timeout;
    let shared = (Arc::clone(&sidecar.dialer), sidecar.limits, sidecar.drain.clone(), idle);
    let counts = Arc::clone(sidecar);
    let refused = move |reason| way.calls(&counts).refused(reason);
    let served = relay2::serve(pair, Arc::clone(&target), shared, refused, |mut exchange| {
        let (sidecar, target, caller) = (Arc::clone(sidecar), Arc::clone(&target), Arc::clone(&caller));
        async move {
            let admitted = if sidecar.full() { Err(Failure::Overloaded) } else { exchange.admit() };
            if let Err(failure) = admitted {
                way.calls(&sidecar).refused(failure.reason());
                return relay2::refuse(exchange, &failure).await;
            }
            let _open = sidecar.drain.guard();
            match way {
                Way::Inbound => inbound::carry(&sidecar, &mut exchange, &target, &caller).await,
                Way::Outbound => outbound::carry(&sidecar, &mut exchange, &target).await,
            }
        }
    })
    .await;
    match served {
        Ok(relay2::Ended::Closed) => {}
        Ok(relay2::Ended::Idle) => way.calls(sidecar).idle("http2"),
        Err(error) => {
            if let Some(reason) = relay2::flaw(&error) {
                way.calls(sidecar).refused(reason);
            }
            tracing::debug!(%error, "an HTTP/2 connection ended");
        }
    }
}

/// Whatever is not HTTP passes as it is.
async fn bytes(sidecar: &Arc<Sidecar>, pair: Box<Pair>, target: &Arc<Target>, way: Way) {
    let Pair { mut down, up, failed, .. } = *pair;
    let up = match (up, failed) {
        (Some(up), _) => Ok(up),
        (None, Some(failed)) => Err(failed.failure),
        // The application begins TLS itself: ours around it would be one too many.
        (None, None) if hello::read(&down.input) != Hello::Other => sidecar.dialer.dial(target).await,
        (None, None) => sidecar.dialer.connect(target, Alpn::Any).await,
    };
    let mut up = match up {
        Ok(up) => up,
        Err(failure) => {
            way.calls(sidecar).failed(failure.reason());
            if way == Way::Outbound {
                TcpSpan::open(sidecar, target).failed(&failure);
            }
            return down.reset();
        }
    };
    let _open = sidecar.drain.guard();
    let hello = hello::wait(&mut down, &mut up).await;
    let (mut there, mut back) = (Pump::new(Framing::UntilClose), Pump::new(Framing::UntilClose));
    let mut span = (way == Way::Outbound).then(|| TcpSpan::open(sidecar, target));
    if let Some(span) = &mut span {
        span.went_by(up.peer());
        if let Hello::Whole(server_name) = hello {
            span.tls(server_name);
        }
    }
    let idle = sidecar.config.idle_timeout;
    let ended = tunnel::run((&mut down, &mut up), (&mut there, &mut back), idle).await;
    if let Some(span) = span {
        span.close(ended.as_ref().err(), (there.payload(), back.payload()));
    }
    match ended {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::TimedOut => way.calls(sidecar).idle("tcp"),
        Err(_) => {
            down.reset();
            up.reset();
        }
    }
}

async fn refuse(sidecar: &Sidecar, mut pair: Box<Pair>, way: Way, failure: &Failure) {
    way.calls(sidecar).refused(failure.reason());
    pair.refuse(failure).await;
}

async fn proxy(sidecar: Arc<Sidecar>, stream: TcpStream, caller: SocketAddr) {
    let mut pair = Box::new(Pair::new(Conn::new(stream)));
    let mut others: HashMap<(Arc<str>, u16), Conn> = HashMap::new();
    let mut last: Option<Arc<Target>> = None;
    loop {
        match pair.next(&sidecar.limits, sidecar.patience()).await {
            Next::Request => {}
            Next::Over => return,
            Next::Idle => return sidecar.metrics.outbound.idle("http1"),
            Next::Refused(failure) => return refuse(&sidecar, pair, Way::Outbound, &failure).await,
        }
        if sidecar.full() {
            return refuse(&sidecar, pair, Way::Outbound, &Failure::Overloaded).await;
        }
        if !sidecar.config.outbound_allow.allows(caller.ip()) {
            return refuse(&sidecar, pair, Way::Outbound, &Failure::NotAllowed(caller.ip())).await;
        }
        let (mut target, connect) = match destination(&mut pair) {
            Ok(destination) => destination,
            Err(flaw) => return refuse(&sidecar, pair, Way::Outbound, &Failure::NotForProxy(flaw)).await,
        };
        if connect {
            let up = match sidecar.dialer.dial(&target).await {
                Ok(up) => up,
                Err(failure) => return refuse(&sidecar, pair, Way::Outbound, &failure).await,
            };
            pair.up = Some(up);
            pair.down.outgoing().extend_from_slice(b"HTTP/1.1 200 Connection Established\r\n\r\n");
            if pair.down.flush().await.is_ok() {
                converse(sidecar, pair, Arc::new(target), Way::Outbound, caller).await;
            }
            return;
        }
        target.tls = sidecar.config.begins_tls(&target.host, target.port);
        let target = Arc::new(target);
        // The pair's connection is for the last request's authority; another authority has its own.
        if last.as_ref().is_none_or(|last| (&last.host, last.port) != (&target.host, target.port)) {
            if let (Some(last), Some(up)) = (last, pair.up.take())
                && others.len() < PROXY_AUTHORITIES_MAX
            {
                others.insert((Arc::clone(&last.host), last.port), up);
            }
            // One that was closed meanwhile would fail a request of which not one byte was written.
            let kept = others.remove(&(Arc::clone(&target.host), target.port));
            pair.up = kept.and_then(|mut up| up.is_silent().then_some(up));
        }
        let guard = sidecar.drain.guard();
        let mut exchange = pair.exchange(&sidecar, &sidecar.metrics.outbound, &target);
        outbound::carry(&sidecar, &mut exchange, &target).await;
        let (persistent, reset) = (exchange.persistent(), exchange.reset());
        if !persistent {
            return pair.end(reset).await;
        }
        drop(guard);
        last = Some(target);
    }
}

/// Where a request to the forward proxy wants to go, and whether as a tunnel. The request is left in the form that
/// the server there expects (RFC 9112, section 3.2.2).
fn destination(pair: &mut Pair) -> Result<(Target, bool), &'static str> {
    const BAD_AUTHORITY: &str = "the target's authority is not HOST:PORT";
    let request = &mut pair.request;
    let (authority, path) = match request.target_form() {
        TargetForm::Authority => {
            let authority = str::from_utf8(request.target()).unwrap_or_default();
            let there = HostPort::parse(authority).map_err(|_| BAD_AUTHORITY)?;
            return Ok((Target::new(&there, None), true));
        }
        TargetForm::Absolute { scheme, authority, rest } if scheme.eq_ignore_ascii_case(b"http") => {
            let slash: &[u8] = if rest.starts_with(b"/") { b"" } else { b"/" };
            (authority.to_vec(), [slash, rest].concat())
        }
        TargetForm::Absolute { .. } => return Err("a forward proxy takes http:// targets; for https use CONNECT"),
        _ => return Err("this is a forward proxy: the target must be absolute, http://HOST/..."),
    };
    let text = str::from_utf8(&authority).map_err(|_| BAD_AUTHORITY)?;
    let there = HostPort::parse(text).or_else(|_| HostPort::parse(&format!("{text}:80"))).map_err(|_| BAD_AUTHORITY)?;
    request.set_target(&path);
    if !request.host_agrees() {
        request.replace("Host", &authority);
    }
    request.remove("proxy-connection");
    Ok((Target::new(&there, None), false))
}
