//! The rules by which one strand's clock advances.

use super::{Component, VectorClock};
use crate::x_raceway::Projection;

/// The handling of one inbound request by one instance, with its outbound calls: the process of the vector clock.
///
/// | rule | method |
/// |---|---|
/// | R1 receive: take the header's clock, own component := 1 | [`Strand::receive`] |
/// | R2 access: a tick at its start and one at its end | [`Strand::tick`] |
/// | R3 send: tick and record the send, tick again; that vector goes into the header | [`Strand::send`] |
/// | R4 reply: max-merge the answer's clock, tick | [`Strand::reply`] |
/// | R5 respond: tick, attach the clock | [`Strand::respond`] |
/// | R6 a timeout or reset joins nothing: only tick; a retry is a new send | [`Strand::tick`] |
/// | R8 claims about the own component are ignored, zeros never written | everywhere |
///
/// ```
/// use raceway_trace::clock::{Component, Strand};
///
/// let mut api = Strand::receive(Component::strand("api", "a", 1), None, None, "api");
/// let sent = api.send();
/// let mut auth = Strand::receive(Component::strand("auth", "b", 1), Some(&sent.clock), None, "auth");
/// auth.respond();
/// api.reply(Some(auth.clock()), None);
///
/// assert_eq!(sent.at, 2);
/// assert_eq!(format!("{:?}", auth.clock()), "{api#a~1: 3, auth#b~1: 2}");
/// assert_eq!(format!("{:?}", api.clock()), "{auth#b~1: 2, api#a~1: 4}");
/// ```
#[derive(Clone, Debug)]
pub struct Strand {
    own: Component,
    clock: VectorClock,
    service: Component,
    projection: Projection,
}

/// A send, as [`Strand::send`] recorded it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The tick of the send itself.
    pub at: u64,
    /// The vector that goes into the header, in which the own component stands one above `at`.
    pub clock: VectorClock,
}

impl Strand {
    /// R1: a request came in with these clocks. `service` is this service's name in [`Projection`]s.
    pub fn receive(
        own: Component,
        inbound: Option<&VectorClock>,
        projection: Option<&Projection>,
        service: &str,
    ) -> Self {
        let service = Component::new(service).unwrap_or_else(|| own.clone());
        Self::receive_as(service, own, inbound, projection)
    }

    /// R1, where the service's name is at hand as a [`Component`]: for whoever receives many requests.
    pub fn receive_as(
        service: Component,
        own: Component,
        inbound: Option<&VectorClock>,
        projection: Option<&Projection>,
    ) -> Self {
        let clock = VectorClock::begin(inbound, own.clone());
        let mut seen = Projection::new();
        if let Some(projection) = projection {
            seen.merge_max(projection);
        }
        if let Some(inbound) = inbound {
            seen.merge_clock(inbound);
        }
        let mut strand = Self { own, clock, service, projection: seen };
        strand.projection.tick(&strand.service);
        strand
    }

    /// Something happened in this strand: its own counter rises by 1, and is returned.
    pub fn tick(&mut self) -> u64 {
        self.projection.tick(&self.service);
        self.clock.tick_last()
    }

    /// R3: a call leaves. A retry is a new send.
    pub fn send(&mut self) -> Sent {
        let at = self.tick();
        self.tick();
        Sent { at, clock: self.clock.clone() }
    }

    /// R4: a call was answered, with a clock or without. Returns the tick of the reply.
    pub fn reply(&mut self, clock: Option<&VectorClock>, projection: Option<&Projection>) -> u64 {
        self.join(clock, projection);
        self.tick()
    }

    /// R5: the answer leaves. [`Strand::clock`] is then what to attach.
    pub fn respond(&mut self) -> u64 {
        self.tick()
    }

    /// Max-merges clocks that the application itself sent along, on a call or an answer. `true` if they knew of
    /// anything that this strand did not.
    pub fn join(&mut self, clock: Option<&VectorClock>, projection: Option<&Projection>) -> bool {
        if let Some(projection) = projection {
            self.projection.merge_max(projection);
        }
        let Some(clock) = clock else { return false };
        self.projection.merge_clock(clock);
        self.clock.merge_others(clock)
    }

    /// What this strand knows now; its own component stands last.
    pub fn clock(&self) -> &VectorClock {
        &self.clock
    }

    /// The same by plain service names, as `X-Raceway-VC` carries it.
    pub fn projection(&self) -> &Projection {
        &self.projection
    }

    /// This strand's own component.
    pub fn component(&self) -> &Component {
        &self.own
    }

    /// This strand's own counter.
    pub fn now(&self) -> u64 {
        self.clock.last()
    }
}
