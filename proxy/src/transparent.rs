//! `--mode transparent`: connections that the kernel redirected here (`raceway-proxy intercept`).
//!
//! The kernel knows where each of them was going. That address is dialled as it is, never loopback in its place: what
//! the application bound to 127.0.0.1 stays unreachable, and nobody from outside looks like localhost to it.
//! With `--inbound-source caller` inbound connections come as they are (TPROXY), with that address as the socket's own,
//! and go on from their caller's.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::net::sockopt::{ip_original_dst, ipv6_original_dst};
use tokio::net::{TcpListener, TcpStream};

use crate::conn::Conn;
use crate::listen;
use crate::serve::{self, Way};
use crate::sidecar::Sidecar;
use crate::upstream::{Dialer, Target};

/// Listens on an address, and on the one that means the same in the other protocol where this host has it: 0.0.0.0 and
/// [::], 127.0.0.1 and [::1], on one port. `as_they_are`: for connections that were going elsewhere.
pub(crate) fn bind(address: SocketAddr, as_they_are: bool) -> io::Result<Vec<TcpListener>> {
    let first = listen::bind_only(address, as_they_are)?;
    let port = first.local_addr()?.port();
    let twin: IpAddr = match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv6Addr::UNSPECIFIED.into(),
        IpAddr::V4(Ipv4Addr::LOCALHOST) => Ipv6Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(Ipv6Addr::LOCALHOST) => Ipv4Addr::LOCALHOST.into(),
        _ => return Ok(vec![first]),
    };
    // A kernel without IPv6 has no such file, and one where it is switched off none of its addresses.
    if twin.is_ipv6() && !std::path::Path::new("/proc/net/if_inet6").exists() {
        return Ok(vec![first]);
    }
    match listen::bind_only(SocketAddr::new(twin, port), as_they_are) {
        Ok(second) => Ok(vec![first, second]),
        Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => Ok(vec![first]),
        Err(error) => Err(error),
    }
}

/// Serves what is redirected to this listener.
pub(crate) async fn redirected(sidecar: Arc<Sidecar>, listener: TcpListener, way: Way) {
    let metrics = match way {
        Way::Inbound => sidecar.metrics.inbound_listener(),
        Way::Outbound => sidecar.metrics.outbound_listener(),
    };
    listen::accept(listener, sidecar.room(), sidecar.drain.clone(), metrics, move |stream, caller| {
        one(Arc::clone(&sidecar), stream, way, caller)
    })
    .await;
}

async fn one(sidecar: Arc<Sidecar>, stream: TcpStream, way: Way, caller: SocketAddr) {
    let keep = way == Way::Inbound && sidecar.config.keeps_callers();
    let there = match keep {
        true => as_it_is(&stream, caller, &sidecar.dialer),
        false => destination(&stream, way, caller, &sidecar.dialer),
    };
    match there {
        Ok(there) => {
            let mut target = Target::original(there);
            // Apart, as few connections have it.
            let _kept = keep.then(|| Box::new(sidecar.dialer.calls_for(caller, there)));
            // An address that means nothing without its interface is none to call from within this host.
            target.source = keep.then(|| caller.ip()).filter(|ip| !is_link_local(ip));
            target.tls = way == Way::Outbound && sidecar.config.begins_tls(&target.host, target.port);
            let target = Arc::new(target);
            let tls = sidecar.config.inbound_tls.as_ref().filter(|_| way == Way::Inbound);
            match tls.and_then(|tls| tls.ends_at(there.port())) {
                None => serve::serve(sidecar, stream, target, way, caller).await,
                Some(http2) => Box::pin(serve::terminate(sidecar, stream, target, http2, caller)).await,
            }
        }
        Err(why) => {
            static TOLD: AtomicBool = AtomicBool::new(false);
            // Once in plain sight, as anybody may cause the next ones; the counter has them all.
            if TOLD.swap(true, Ordering::Relaxed) {
                tracing::debug!(%caller, "refused a connection: {why}");
            } else {
                tracing::warn!(%caller, "refused a connection: {why}");
            }
            way.calls(&sidecar).refused("loop");
            let mut refused = Conn::new(stream);
            refused.reset();
        }
    }
}

const NOT_REDIRECTED: &str = "it was not redirected here but made to this listener; nothing else is served by it";
const TO_OURSELVES: &str = "it leads to a listener of this sidecar";
const OUR_OWN: &str = "it is one of this sidecar's own, come back: run the sidecar as the user that `raceway-proxy \
                       intercept install --uid` names";

const OTHER_RULES: &str = "it was redirected without its caller's address: run `raceway-proxy intercept install` with \
                           --inbound-source caller too, or the sidecar without";

/// Where a connection that was taken as it is (TPROXY) is going; why it must not be followed, where that leads here.
fn as_it_is(stream: &TcpStream, caller: SocketAddr, dialer: &Dialer) -> Result<SocketAddr, &'static str> {
    let here = stream.local_addr().map_err(|_| NOT_REDIRECTED)?;
    if !dialer.is_own(here) && !dialer.listens_everywhere_on(here.port()) {
        return Ok(scoped(here, caller));
    }
    let other = destination(stream, Way::Inbound, caller, dialer);
    Err(other.map_or_else(|why| why, |_| OTHER_RULES))
}

fn is_link_local(ip: &IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

/// Where a connection was going before it was redirected; why it must not be followed, where that leads back here.
fn destination(stream: &TcpStream, way: Way, caller: SocketAddr, dialer: &Dialer) -> Result<SocketAddr, &'static str> {
    let here = stream.local_addr().map_err(|_| NOT_REDIRECTED)?;
    let original = match here {
        SocketAddr::V4(_) => ip_original_dst(stream).map(SocketAddr::V4),
        SocketAddr::V6(_) => ipv6_original_dst(stream).map(|there| scoped(there.into(), caller)),
    };
    // The kernel has no record of a redirection at all, or one of none.
    let original = original.map_err(|_| NOT_REDIRECTED)?;
    if (original.ip(), original.port()) == (here.ip(), here.port()) {
        return Err(NOT_REDIRECTED);
    }
    // Inbound, every destination is an address of this host, whichever it is.
    if dialer.is_own(original) || way == Way::Inbound && dialer.listens_everywhere_on(original.port()) {
        return Err(TO_OURSELVES);
    }
    if dialer.is_own_call(caller, original) {
        return Err(OUR_OWN);
    }
    Ok(original)
}

/// A link-local address means nothing without its interface, which the kernel tells for the caller's only.
fn scoped(mut there: SocketAddr, caller: SocketAddr) -> SocketAddr {
    if let (SocketAddr::V6(there), SocketAddr::V6(caller)) = (&mut there, caller)
        && there.ip().is_unicast_link_local()
        && there.scope_id() == 0
    {
        there.set_scope_id(caller.scope_id());
    }
    there
}
