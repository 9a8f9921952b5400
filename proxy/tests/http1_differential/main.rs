//! Whatever our HTTP/1 codec passes on, hyper, nginx and HAProxy must understand as the same messages.
//!
//! A generator writes requests (and responses) that are almost valid. What the codec refuses is done with; what it
//! passes on goes to each of the others, together with a sentinel behind it. Each reports what it saw. It may refuse
//! what it does not like, but whatever it takes must be what we took it for, and the sentinel must come out as itself:
//! two readers that cut a stream at different places are what request smuggling is made of.
//!
//! | variable | meaning | default |
//! |---|---|---|
//! | `RACEWAY_DIFFERENTIAL_SECONDS` | how long each of the tests runs | 5 |
//! | `RACEWAY_DIFFERENTIAL_SEED` | the seed of a run to repeat | from the clock, printed |
//! | `RACEWAY_DIFFERENTIAL_CASE` | only this case of that seed | all |

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "all of this is test"
)]

mod generate;
mod message;
mod peers;
mod requests;
mod responses;

use std::time::{Duration, Instant, SystemTime};

use generate::Random;

/// How long to run and from which seed.
struct Plan {
    seed: u64,
    only: Option<u64>,
    until: Instant,
}

impl Plan {
    fn from_env(what: &str) -> Plan {
        let number = |name: &str| {
            let text = std::env::var(name).ok()?;
            Some(text.parse::<u64>().unwrap_or_else(|_| panic!("{name} must be a number, not {text:?}")))
        };
        let clock = SystemTime::UNIX_EPOCH.elapsed().expect("the clock is past 1970").as_nanos() as u64;
        let seed = number("RACEWAY_DIFFERENTIAL_SEED").unwrap_or(clock);
        let seconds = number("RACEWAY_DIFFERENTIAL_SECONDS").unwrap_or(5);
        eprintln!("{what}: RACEWAY_DIFFERENTIAL_SEED={seed}, {seconds} s");
        Plan { seed, only: number("RACEWAY_DIFFERENTIAL_CASE"), until: Instant::now() + Duration::from_secs(seconds) }
    }

    /// The numbers of the cases that `lane` of `lanes` has to look at, until time is up.
    fn cases(&self, lane: u64, lanes: u64) -> impl Iterator<Item = (u64, Random)> {
        let numbers: Box<dyn Iterator<Item = u64>> = match self.only {
            Some(only) if lane == 0 => Box::new(std::iter::once(only)),
            Some(_) => Box::new(std::iter::empty()),
            None => Box::new((lane..).step_by(lanes as usize).take_while(|_| Instant::now() < self.until)),
        };
        numbers.map(|number| (number, Random::new(self.seed, number)))
    }
}
