//! Times, of which there are too many to keep.

/// How many classes there are from one power of two to the next: a time is known to 3 %.
const CLASSES: u64 = 32;

/// How often which time was taken.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Histogram {
    /// Counts a time so many times.
    pub fn add(&mut self, time: u64, count: u64) {
        let class = class(time);
        if self.counts.len() <= class {
            self.counts.resize(class + 1, 0);
        }
        self.counts[class] += count;
        self.total += count;
    }

    /// The time that this part of them, of 1, does not exceed.
    pub fn quantile(&self, part: f64) -> Option<u64> {
        let rank = ((self.total as f64 * part).ceil() as u64).max(1);
        let mut below = 0;
        let class = self.counts.iter().position(|count| {
            below += count;
            below >= rank
        });
        class.map(greatest)
    }
}

/// Each time below `2 * CLASSES` has a class of its own, and from there on each power of two has so many.
fn class(time: u64) -> usize {
    let shift = (time / CLASSES).checked_ilog2().unwrap_or(0);
    (u64::from(shift) * CLASSES + (time >> shift)) as usize
}

/// The greatest time of a class.
fn greatest(class: usize) -> u64 {
    let class = class as u64;
    let shift = (class / CLASSES).saturating_sub(1);
    ((class - shift * CLASSES) << shift) | ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_follow_each_other() {
        let mut last = 0;
        for time in 0..100_000 {
            let class = class(time);
            assert!(class == last || class == last + 1, "{time}");
            assert!((time..=time + time / CLASSES).contains(&greatest(class)), "{time}");
            last = class;
        }
        assert!(class(u64::MAX) < 2000);
        assert_eq!(greatest(class(u64::MAX)), u64::MAX);
    }

    #[test]
    fn quantiles_are_of_all() {
        let mut times = Histogram::default();
        assert_eq!(times.quantile(0.5), None);
        times.add(7, 98);
        times.add(50, 1);
        times.add(20, 1);
        assert_eq!([0.0, 0.5, 0.98, 0.99, 1.0].map(|part| times.quantile(part)), [7, 7, 7, 20, 50].map(Some));
    }
}
