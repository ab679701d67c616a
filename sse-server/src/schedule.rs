//! When a stream sends a keep-alive, and when a timeout ends it. The current time is always an argument.
//!
//! ```text
//! start                last event              last write                    timer
//!   |-- lifetime ---------------------------------------------->| MaxLifetime
//!                          |-- idle timeout ---->| Idle
//!                                                  |-- keep-alive interval -->| KeepAlive
//! ```
//!
//! A write only moves `last_write` and `last_event`. It resets the timer if the stall timeout ends before the timer fires.

use std::time::Duration;

use tokio::time::Instant;

/// The longest time of a setting: a year. Much longer times overflow the clock.
pub(crate) const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    KeepAlive,
    Idle,
    MaxLifetime,
}

/// The times of a stream, in nanoseconds, or [`NEVER`]. Every event reads them, so they share few cache lines.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    /// The time without a write after which a keep-alive is due.
    keep_alive: u64,
    /// The time without an event after which the stream ends.
    idle: u64,
    /// The time after which the stream ends in any case.
    lifetime: u64,
    /// The time without a poll after which the client counts as stalled.
    stall: u64,
    start: Option<Instant>,
    // The next three are times since the start.
    last_write: u64,
    last_event: u64,
    timer: u64,
}

const NEVER: u64 = u64::MAX;

fn nanos(time: Option<Duration>) -> u64 {
    time.map_or(NEVER, |time| u64::try_from(time.min(LONGEST).as_nanos()).unwrap_or(NEVER))
}

impl Schedule {
    pub(crate) fn new(keep_alive: Duration, stall: Duration) -> Self {
        Self { keep_alive: nanos(Some(keep_alive)), stall: nanos(Some(stall)), ..Self::default() }
    }

    pub(crate) fn set_keep_alive(&mut self, time: Option<Duration>) {
        self.keep_alive = nanos(time);
    }

    pub(crate) fn set_idle(&mut self, time: Duration) {
        self.idle = nanos(Some(time));
    }

    pub(crate) fn set_lifetime(&mut self, time: Duration) {
        self.lifetime = nanos(Some(time));
    }

    pub(crate) fn set_stall(&mut self, time: Option<Duration>) {
        self.stall = nanos(time);
    }

    pub(crate) fn start(&mut self, now: Instant) {
        self.start = Some(now);
    }

    /// Notes that a chunk was written, and returns when the timer must fire if it must be set.
    ///
    /// After a chunk with events, the timer must fire by the stall timeout. It then finds out whether the server polled.
    #[inline]
    pub(crate) fn wrote(&mut self, now: Instant, had_event: bool) -> Option<Instant> {
        let now = self.since(now);
        self.last_write = now;
        if had_event {
            self.last_event = now;
        }
        let stalls_at = now.saturating_add(self.stall);
        if self.timer > now && self.timer != NEVER {
            return if had_event && stalls_at < self.timer { self.at(stalls_at) } else { None };
        }
        let next = self.first();
        self.at(if had_event || next == NEVER { next.min(stalls_at) } else { next })
    }

    /// Notes that the timer fires at this time.
    pub(crate) fn set_timer(&mut self, at: Instant) {
        self.timer = self.since(at);
    }

    /// Notes that the timer was dropped.
    pub(crate) fn unset_timer(&mut self) {
        self.timer = NEVER;
    }

    /// Returns when something is due, unless a write comes before. Writes only move this time to later.
    #[cfg(test)]
    fn next(&self) -> Option<Instant> {
        self.at(self.first())
    }

    /// Returns when a timer that fired must fire again. Events since the timer was set may be a burst, so the timer then also
    /// watches for a stall.
    pub(crate) fn timer_again(&self, now: Instant) -> Option<Instant> {
        let next = Some(self.first()).filter(|at| *at != NEVER)?;
        let had_events = self.stall != NEVER && self.timer.saturating_sub(self.stall) < self.last_event;
        let stalls_at = if had_events { self.since(now).saturating_add(self.stall) } else { NEVER };
        self.at(next.min(stalls_at))
    }

    /// Returns whether the stream has reached its maximum lifetime.
    pub(crate) fn has_lived(&self, now: Instant) -> bool {
        self.lifetime != NEVER && self.due(now) == Some(Due::MaxLifetime)
    }

    /// Returns what is due.
    pub(crate) fn due(&self, now: Instant) -> Option<Due> {
        let now = self.since(now);
        let due = self.start.and(self.times().into_iter().find(|(at, _)| *at <= now && *at != NEVER));
        due.map(|(_, due)| due)
    }

    /// The ends come before the keep-alive.
    fn times(&self) -> [(u64, Due); 3] {
        [
            (self.lifetime, Due::MaxLifetime),
            (self.last_event.saturating_add(self.idle), Due::Idle),
            (self.last_write.saturating_add(self.keep_alive), Due::KeepAlive),
        ]
    }

    fn first(&self) -> u64 {
        let [lifetime, idle, keep_alive] = self.times().map(|(at, _)| at);
        lifetime.min(idle).min(keep_alive)
    }

    fn since(&self, at: Instant) -> u64 {
        let since = self.start.map_or(Duration::ZERO, |start| at.saturating_duration_since(start));
        since.as_secs().saturating_mul(1_000_000_000).saturating_add(since.subsec_nanos().into())
    }

    fn at(&self, time: u64) -> Option<Instant> {
        self.start.filter(|_| time != NEVER).map(|start| start + Duration::from_nanos(time))
    }
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            keep_alive: NEVER,
            idle: NEVER,
            lifetime: NEVER,
            stall: NEVER,
            start: None,
            last_write: 0,
            last_event: 0,
            timer: NEVER,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn each_time_is_due_when_it_passes_and_ends_come_first() {
        let start = Instant::now();
        let at = |seconds: u32| start + seconds * SECOND;
        let mut schedule = Schedule::default();
        schedule.start(start);
        assert_eq!((schedule.next(), schedule.due(at(1000))), (None, None));

        schedule.set_keep_alive(Some(15 * SECOND));
        schedule.set_idle(40 * SECOND);
        schedule.set_lifetime(60 * SECOND);
        assert_eq!((schedule.next(), schedule.due(at(14))), (Some(at(15)), None));
        assert_eq!(schedule.due(at(15)), Some(Due::KeepAlive));
        schedule.wrote(at(15), false);
        assert_eq!((schedule.next(), schedule.due(at(29))), (Some(at(30)), None));
        schedule.wrote(at(30), false);
        assert_eq!(schedule.next(), Some(at(40)), "a write is no event");
        schedule.wrote(at(35), true);
        assert_eq!((schedule.next(), schedule.due(at(50))), (Some(at(50)), Some(Due::KeepAlive)));
        schedule.wrote(at(50), false);
        assert_eq!((schedule.next(), schedule.due(at(59))), (Some(at(60)), None));
        assert_eq!(schedule.due(at(60)), Some(Due::MaxLifetime), "not the keep-alive of 65 s, nor idle at 75 s");
        assert_eq!(schedule.due(at(80)), Some(Due::MaxLifetime));
    }

    #[test]
    fn longest_lifetime_is_a_year() {
        let now = Instant::now();
        let mut schedule = Schedule::default();
        schedule.set_lifetime(Duration::MAX);
        schedule.start(now);
        assert_eq!(schedule.next(), Some(now + LONGEST));
    }
}
