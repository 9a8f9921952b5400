//! Exactly one request was in flight: likely its call, but a timer of the application may fire just then.

use std::sync::Arc;

use raceway_trace::tracestate::Probability;

use crate::requests::{Handling, Situation};

/// What we say until the service has been seen to call with nothing in flight: nobody has looked at its timers yet.
const BEFORE_ANY_ORPHAN: f64 = 0.99;

/// The only request in flight, with the probability that the call is its.
pub(super) fn link(situation: &Situation) -> Option<(Arc<Handling>, Probability)> {
    let ([only], 1) = (situation.newest.as_slice(), situation.count) else { return None };
    Some((Arc::clone(only), Probability::new((1.0 - orphan_share(situation)).min(BEFORE_ANY_ORPHAN))))
}

/// The share of the calls seen beside exactly one request that nobody's request caused.
///
/// Calls on the service's own account come at the rate that is seen while nothing is in flight. They come at that
/// rate while one request is in flight too: `rate × time` of the calls seen then are theirs.
fn orphan_share(situation: &Situation) -> f64 {
    let (idle, sole) = (situation.load.idle, situation.load.sole);
    if idle.calls == 0.0 {
        return 0.0;
    }
    let rate = idle.calls / idle.time.as_secs_f64().max(1e-3);
    // The call in question is one of those it is compared with.
    (rate * sole.time.as_secs_f64() / (sole.calls + 1.0)).min(1.0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::requests::{Load, Observed};

    fn share(idle: (f64, u64), sole: (f64, u64)) -> f64 {
        let observed = |(calls, seconds)| Observed { calls, time: Duration::from_secs(seconds) };
        let mut load = Load::default();
        (load.idle, load.sole) = (observed(idle), observed(sole));
        orphan_share(&Situation { newest: Vec::new(), count: 1, load })
    }

    #[test]
    fn nothing_is_held_against_a_service_that_never_called_unasked() {
        assert_eq!(share((0.0, 100), (50.0, 10)), 0.0);
    }

    #[test]
    fn a_timer_counts_by_its_rate() {
        // A call a second while idle; ten seconds with one request in flight and 99 calls then: ten of 100 are its.
        let share = share((100.0, 100), (99.0, 10));
        assert!((share - 0.1).abs() < 1e-9, "{share}");
    }

    #[test]
    fn a_service_that_only_calls_by_timer_is_believed_to() {
        assert_eq!(share((100.0, 100), (9.0, 10)), 1.0);
    }
}
