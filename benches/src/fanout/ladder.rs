//! The search for the highest rate that a server keeps up with.

use std::io;

/// Up by this, for short, until the server does not keep up.
const UP: f64 = 2.0;
/// Then from there down to this part of what it last kept up with, which was but for short.
const DOWN: f64 = 0.7;
/// How often that is halved, by the logarithm: to 3 %.
const HALVINGS: usize = 5;

/// How thoroughly a rate is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Short,
    Long,
}

/// How often a rate is tried, if something else gets in the way, and how often if not.
const TRIES: [usize; 2] = [4, 2];

/// What came of trying a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tried {
    KeepsUp,
    Fails,
    /// It fails, but something else had the CPU meanwhile.
    Disturbed,
}

/// The highest rate, or nothing if it does not keep up with any that is not absurd.
///
/// # Errors
///
/// Those of trying.
pub fn highest(start: f64, mut try_once: impl FnMut(f64, Step) -> io::Result<Tried>) -> io::Result<Option<f64>> {
    let mut keeps_up = |rate, step| {
        let mut left = TRIES;
        while left.iter().all(|&left| left > 0) {
            left[0] -= 1;
            match try_once(rate, step)? {
                Tried::KeepsUp => return Ok(true),
                Tried::Fails => left[1] -= 1,
                Tried::Disturbed => {}
            }
        }
        Ok::<_, io::Error>(false)
    };
    let (mut rate, mut highest, mut fails) = (start, None, None);
    // Two that follow each other have to fail. Events that come singly are more work than those that can be joined, so
    // that the lowest rates may be the ones that are hardest to keep up with.
    loop {
        match (keeps_up(rate, Step::Short)?, fails) {
            (true, _) => (highest, fails) = (Some(rate), None),
            (false, None) => fails = Some(rate),
            (false, Some(_)) => break,
        }
        rate *= UP;
    }
    let mut fails = fails.unwrap_or(rate);
    // If it has kept up with none there is no telling how far down to go.
    let mut highest = highest.map_or(start, |rate| rate * DOWN);
    while !keeps_up(highest, Step::Long)? {
        (fails, highest) = (highest, highest / UP);
        if highest < start / 64.0 {
            return Ok(None);
        }
    }
    for _ in 0..HALVINGS {
        let middle = (highest * fails).sqrt();
        if keeps_up(middle, Step::Long)? { highest = middle } else { fails = middle }
    }
    Ok(Some(highest))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn search(mut keeps_up: impl FnMut(f64, Step) -> bool) -> Option<f64> {
        let try_once = |rate, step| Ok(if keeps_up(rate, step) { Tried::KeepsUp } else { Tried::Fails });
        highest(40.0, try_once).expect("nothing else goes wrong")
    }

    #[test]
    fn the_highest_is_found_from_anywhere() {
        for limit in [3.0, 40.0, 41.0, 1000.0, 12_345.6] {
            let found = search(|rate, _| rate <= limit).expect("it keeps up with some");
            assert!(found <= limit && found > limit * 0.95, "{found} of {limit}");
        }
        assert_eq!(search(|_, _| false), None);
    }

    #[test]
    fn one_rate_that_fails_amid_others_is_passed_over() {
        let found = search(|rate, _| rate <= 1000.0 && !(150.0..170.0).contains(&rate)).expect("it keeps up with some");
        assert!(found > 950.0, "{found}");
    }

    #[test]
    fn what_is_kept_up_with_for_short_does_not_count() {
        let found = search(|rate, step| rate <= if step == Step::Short { 800.0 } else { 400.0 });
        assert!(found.is_some_and(|found| found <= 400.0 && found > 380.0), "{found:?}");
    }

    #[test]
    fn a_rate_fails_when_it_fails_again() {
        for (kind, forgiven) in [(Tried::Fails, 1), (Tried::Disturbed, 3)] {
            for (failures, is_forgiven) in [(forgiven, true), (forgiven + 1, false)] {
                let mut tries = BTreeMap::new();
                let found = highest(40.0, |rate: f64, step| {
                    let tries: &mut usize = tries.entry((rate.to_bits(), step == Step::Long)).or_default();
                    *tries += 1;
                    let keeps_up = rate < 100.0 || (rate < 1000.0 && *tries > failures);
                    Ok(if keeps_up { Tried::KeepsUp } else { kind })
                });
                let found = found.expect("nothing else goes wrong").expect("it keeps up with some");
                assert_eq!(found > 950.0, is_forgiven, "{found} with {failures} of {kind:?}");
            }
        }
    }
}
