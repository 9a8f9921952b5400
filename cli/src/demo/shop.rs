//! The shop that the demo plays: who calls whom, what travels, what may be declined.
//!
//! ```text
//! checkout:  frontend → api → auth            refund:  frontend → api → payment
//!                       api → order → payment
//! ```
//!
//! Nothing in here knows of traces. The order's number is in every path because it is the shop's business, as it
//! would be in any shop; it is also how the services' own log names a request.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// One service of the shop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Role {
    /// What customers talk to.
    Frontend,
    /// What knows how a purchase goes.
    Api,
    /// Whose session it is.
    Auth,
    /// What is bought.
    Order,
    /// What it costs.
    Payment,
}

impl Role {
    /// All of them, callees before callers: the order in which sidecars can be started.
    pub(crate) const CALLEES_FIRST: [Self; 5] = [Self::Payment, Self::Auth, Self::Order, Self::Api, Self::Frontend];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Frontend => "frontend",
            Self::Api => "api",
            Self::Auth => "auth",
            Self::Order => "order",
            Self::Payment => "payment",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::CALLEES_FIRST.into_iter().find(|role| role.name() == name)
    }

    /// Whom it calls.
    pub(crate) fn neighbours(self) -> &'static [Self] {
        match self {
            Self::Frontend => &[Self::Api],
            Self::Api => &[Self::Auth, Self::Order, Self::Payment],
            Self::Order => &[Self::Payment],
            Self::Auth | Self::Payment => &[],
        }
    }

    /// How long it waits (for a disk, a bank) per request: a base, and what chance adds on average.
    ///
    /// Small, so that a laptop carries a lively rate with mostly one request in flight; uneven, so that the critical
    /// path has something to say: payment is the slow one.
    pub(crate) fn waits(self) -> (Duration, Duration) {
        let (base_us, chance_us) = match self {
            Self::Frontend | Self::Api => (500, 200),
            Self::Auth => (1_000, 500),
            Self::Order => (1_500, 500),
            Self::Payment => (4_000, 1_500),
        };
        (Duration::from_micros(base_us), Duration::from_micros(chance_us))
    }
}

/// What a customer sends, and the services pass on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Purchase {
    pub(crate) order: u64,
    pub(crate) card: String,
    pub(crate) cents: u64,
}

/// The card that payment declines: an answer of 402 is right for it.
pub(crate) const DECLINED_CARD: &str = "4000-0000-0000-0002";
/// The card that payment accepts.
pub(crate) const GOOD_CARD: &str = "4000-0000-0000-0077";

/// What a service answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Receipt {
    pub(crate) order: u64,
    pub(crate) outcome: String,
}

/// The order that a path is about: the number at its end.
pub(crate) fn order_in(path: &str) -> Option<u64> {
    path.rsplit('/').next()?.parse().ok()
}

/// Chance for service times and arrivals; nothing here is worth a better generator (xorshift64*).
#[derive(Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    /// Differs from run to run and from process to process.
    pub(crate) fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_nanos() as u64);
        Self((now ^ (u64::from(std::process::id()) << 32)) | 1)
    }

    /// Uniform in (0, 1].
    pub(crate) fn unit(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11;
        (bits + 1) as f64 / (1_u64 << 53) as f64
    }

    /// Exponential with this mean, at most ten times it.
    pub(crate) fn wait(&mut self, mean: Duration) -> Duration {
        mean.mul_f64((-self.unit().ln()).min(10.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callees_come_before_their_callers() {
        for (place, role) in Role::CALLEES_FIRST.into_iter().enumerate() {
            for callee in role.neighbours() {
                assert!(Role::CALLEES_FIRST[..place].contains(callee), "{role:?} before {callee:?}");
            }
        }
    }

    #[test]
    fn chance_has_the_mean_it_was_asked_for() {
        let mut chance = Chance::new();
        let mean = Duration::from_millis(10);
        let total: Duration = (0..20_000).map(|_| chance.wait(mean)).sum();
        assert!((9.5..10.5).contains(&(total.as_secs_f64() * 1e3 / 20_000.0)), "{total:?}");
    }
}
