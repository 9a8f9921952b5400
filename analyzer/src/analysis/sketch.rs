//! Quantiles of durations in little memory: a histogram whose bins grow by 2%, so every answer is within 1%.
//!
//! The scheme is DDSketch's. Its published crates only add; here the second half of a call may move it to another
//! edge or give it another duration, so what was counted must be taken back, which bins allow exactly.

/// How far a quantile may be off, relative to itself.
const ACCURACY: f64 = 0.01;
const GAMMA: f64 = (1.0 + ACCURACY) / (1.0 - ACCURACY);

/// Durations in bins. About 150 bins of 8 bytes hold the latencies of a real service; the most there can be is
/// 2,218, for a nanosecond to 584 years.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sketch {
    /// Sorted by number; none empty.
    bins: Vec<(u16, u32)>,
    count: u64,
    sum_ns: u128,
}

impl Sketch {
    /// Counts a duration.
    pub(crate) fn add(&mut self, ns: u64) {
        let bin = bin(ns);
        match self.bins.binary_search_by_key(&bin, |&(bin, _)| bin) {
            Ok(at) => {
                if let Some((_, count)) = self.bins.get_mut(at) {
                    *count = count.saturating_add(1);
                }
            }
            Err(at) => self.bins.insert(at, (bin, 1)),
        }
        self.count += 1;
        self.sum_ns += u128::from(ns);
    }

    /// Takes back a duration that was counted.
    pub(crate) fn remove(&mut self, ns: u64) {
        let Ok(at) = self.bins.binary_search_by_key(&bin(ns), |&(bin, _)| bin) else { return };
        let Some((_, count)) = self.bins.get_mut(at) else { return };
        *count -= 1;
        if *count == 0 {
            self.bins.remove(at);
        }
        self.count = self.count.saturating_sub(1);
        self.sum_ns = self.sum_ns.saturating_sub(u128::from(ns));
    }

    /// Adds all that `other` counted.
    pub(crate) fn merge(&mut self, other: &Self) {
        let mut merged = Vec::with_capacity(self.bins.len().max(other.bins.len()));
        let (mut ours, mut theirs) = (self.bins.iter().peekable(), other.bins.iter().peekable());
        loop {
            let bin = match (ours.peek(), theirs.peek()) {
                (None, None) => break,
                (Some((bin, _)), None) | (None, Some((bin, _))) => *bin,
                (Some((a, _)), Some((b, _))) => *a.min(b),
            };
            let take = |bins: &mut std::iter::Peekable<std::slice::Iter<'_, (u16, u32)>>| {
                bins.next_if(|(own, _)| *own == bin).map_or(0, |(_, count)| *count)
            };
            merged.push((bin, take(&mut ours).saturating_add(take(&mut theirs))));
        }
        self.bins = merged;
        self.count += other.count;
        self.sum_ns += other.sum_ns;
    }

    /// The duration in ms that the share `q` (0 to 1) of all lie at or below; `None` while there is none.
    pub(crate) fn quantile_ms(&self, q: f64) -> Option<f64> {
        let total: u64 = self.bins.iter().map(|&(_, count)| u64::from(count)).sum();
        let last = total.checked_sub(1)?;
        let rank = (q.clamp(0.0, 1.0) * last as f64) as u64;
        let mut below = 0;
        let found = self.bins.iter().find(|&&(_, count)| {
            below += u64::from(count);
            below > rank
        });
        found.map(|&(bin, _)| 2.0 * GAMMA.powi(i32::from(bin)) / (GAMMA + 1.0) / 1e6)
    }

    /// The mean in ms; 0 while there is none.
    pub(crate) fn mean_ms(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum_ns as f64 / self.count as f64 / 1e6 }
    }
}

fn bin(ns: u64) -> u16 {
    // ln(2^64) / ln(GAMMA) is 2,218.
    ((ns.max(1) as f64).ln() / GAMMA.ln()).ceil() as u16
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(durations: &[u64]) -> Sketch {
        let mut sketch = Sketch::default();
        durations.iter().for_each(|&ns| sketch.add(ns));
        sketch
    }

    proptest! {
        #[test]
        fn quantiles_are_within_one_percent(mut durations in proptest::collection::vec(1u64..100_000_000_000, 1..200), q in 0.0f64..=1.0) {
            let sketch = of(&durations);
            durations.sort_unstable();
            let exact = durations[(q * (durations.len() - 1) as f64) as usize] as f64 / 1e6;
            let found = sketch.quantile_ms(q).unwrap();
            prop_assert!((found - exact).abs() <= exact * 0.0101, "{found} instead of {exact}");
        }

        #[test]
        fn what_was_counted_can_be_taken_back(kept in proptest::collection::vec(any::<u64>(), 0..50), gone in proptest::collection::vec(any::<u64>(), 0..50)) {
            let mut sketch = of(&kept);
            gone.iter().for_each(|&ns| sketch.add(ns));
            gone.iter().for_each(|&ns| sketch.remove(ns));
            prop_assert_eq!(sketch, of(&kept));
        }

        #[test]
        fn merging_is_counting_both(a in proptest::collection::vec(any::<u64>(), 0..50), b in proptest::collection::vec(any::<u64>(), 0..50)) {
            let mut merged = of(&a);
            merged.merge(&of(&b));
            prop_assert_eq!(merged, of(&[a, b].concat()));
        }
    }

    #[test]
    fn an_empty_sketch_says_nothing() {
        let mut sketch = Sketch::default();
        sketch.remove(7);
        assert_eq!((sketch.quantile_ms(0.5), sketch.mean_ms()), (None, 0.0));
    }
}
