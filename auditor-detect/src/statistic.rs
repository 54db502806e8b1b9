//! Running statistics of a few bytes each: what is usual, and how far a value is from it.
//!
//! A value that is out of the ordinary moves the baseline only as far as the border of the ordinary, so that one flood
//! does not make the next one usual. Whoever raises a value slowly enough is not seen.

use serde::{Deserialize, Serialize};

/// Weight of the newest value once there are many.
const WEIGHT: f64 = 0.05;
/// Deviations beyond which a value is unusual.
const DEVIATIONS: f64 = 4.0;

/// Exponentially weighted mean and variance.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Usual {
    pub(crate) count: u32,
    mean: f64,
    variance: f64,
}

impl Usual {
    /// The border of the ordinary; deviations below `least` count as `least`.
    fn border(&self, least: f64) -> f64 {
        self.mean + DEVIATIONS * self.variance.sqrt().max(least)
    }

    fn add(&mut self, value: f64, least: f64) {
        let value = if self.count > 0 {
            value.min(self.border(least))
        } else {
            value
        };
        let weight = WEIGHT.max(1.0 / f64::from(self.count.saturating_add(1)));
        let difference = value - self.mean;
        self.mean += weight * difference;
        self.variance = (1.0 - weight) * (self.variance + weight * difference * difference);
        self.count = self.count.saturating_add(1);
    }
}

/// Sizes, by their logarithm: what counts is how many times larger than usual.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Sizes(Usual);

impl Sizes {
    /// Sizes seen before one can be unusual.
    pub(crate) const WARM_UP: u32 = 30;
    /// Bytes below which none is.
    const LEAST: u64 = 16 << 10;
    /// Least deviation of the logarithm: at that, four times four deviations are about 7 times the usual size.
    const SPREAD: f64 = 0.5;

    /// Takes a size. Gives the usual one where this one is unusually large.
    pub(crate) fn add(&mut self, bytes: u64) -> Option<f64> {
        let value = (bytes as f64 + 1.0).ln();
        let is_unusual = self.0.count >= Self::WARM_UP
            && bytes >= Self::LEAST
            && value > self.0.border(Self::SPREAD);
        let usual = self.0.mean.exp() - 1.0;
        self.0.add(value, Self::SPREAD);
        is_unusual.then_some(usual)
    }

    pub(crate) fn count(&self) -> u32 {
        self.0.count
    }
}

/// How often something happens in a minute in which it happens at all.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Rate {
    minute: u64,
    count: u32,
    told: bool,
    usual: Usual,
}

impl Rate {
    /// Minutes seen before one can be unusual.
    pub(crate) const WARM_UP: u32 = 10;

    /// Notes that it happened, `time` nanoseconds since the epoch. Gives how often it usually does and how often it did
    /// in this minute where that is unusually often, and more than `least` times; once a minute.
    pub(crate) fn add(&mut self, time: u64, least: u32) -> Option<(f64, u32)> {
        let minute = time / 60_000_000_000;
        if minute > self.minute {
            if self.minute > 0 {
                self.usual.add(f64::from(self.count), self.spread());
            }
            (self.minute, self.count, self.told) = (minute, 0, false);
        }
        self.count = self.count.saturating_add(1);
        let is_unusual = self.usual.count >= Self::WARM_UP
            && self.count > least
            && f64::from(self.count) > self.usual.border(self.spread())
            && !self.told;
        self.told |= is_unusual;
        is_unusual.then_some((self.usual.mean, self.count))
    }

    pub(crate) fn minutes(&self) -> u32 {
        self.usual.count
    }

    /// What arrives at random deviates by the root of its mean.
    fn spread(&self) -> f64 {
        self.usual.mean.max(1.0).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_far_beyond_the_usual_is_told_and_does_not_become_usual() {
        let mut sizes = Sizes::default();
        for at in 0..100 {
            assert_eq!(sizes.add(1_000 + at % 7), None);
        }
        for _ in 0..3 {
            let usual = sizes.add(5 << 20).unwrap();
            assert!((900.0..4_000.0).contains(&usual), "{usual}");
        }
        assert_eq!(sizes.add(1_000), None);
    }

    #[test]
    fn nothing_is_unusual_before_the_warm_up() {
        let mut sizes = Sizes::default();
        for _ in 1..Sizes::WARM_UP {
            sizes.add(10);
        }
        assert_eq!(sizes.add(1 << 30), None);
    }

    #[test]
    fn sizes_that_vary_widely_by_nature_are_not_told() {
        let mut sizes = Sizes::default();
        let told = (0..1_000u64).filter(|at| sizes.add(1 << (at % 18)).is_some());
        assert_eq!(told.count(), 0);
    }

    #[test]
    fn a_burst_is_told_once_a_minute() {
        let mut rate = Rate::default();
        let mut at = |minute: u64, times: u32| {
            (0..times)
                .filter(|_| rate.add(minute * 60_000_000_000, 30).is_some())
                .count()
        };
        for minute in 1..20 {
            assert_eq!(at(minute, 10), 0);
        }
        assert_eq!(at(20, 500), 1);
        assert_eq!(at(21, 500), 1);
        assert_eq!(at(22, 10), 0);
    }
}
