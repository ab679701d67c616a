//! What a stream's clock has to do, and when. It has no clock itself: the time is an argument.

use std::time::Duration;

use tokio::time::Instant;

/// More is of no use, and much more cannot be told by the clock.
pub(crate) const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    KeepAlive,
    Idle,
    MaxLifetime,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Schedule {
    /// After how long with nothing written the keep-alive is.
    pub(crate) keep_alive: Option<Duration>,
    /// After how long with no event the stream ends.
    pub(crate) idle: Option<Duration>,
    /// After how long it ends in any case.
    pub(crate) lifetime: Option<Duration>,
    /// After how long with a chunk not taken it is over.
    pub(crate) stall: Option<Duration>,
    start: Option<Instant>,
    last_write: Option<Instant>,
    last_event: Option<Instant>,
}

impl Schedule {
    pub(crate) fn new(keep_alive: Duration, stall: Duration) -> Self {
        Self { keep_alive: Some(keep_alive), stall: Some(stall), ..Self::default() }
    }

    pub(crate) fn start(&mut self, now: Instant) {
        (self.start, self.last_write, self.last_event) = (Some(now), Some(now), Some(now));
    }

    /// Something was written.
    pub(crate) fn wrote(&mut self, now: Instant) {
        self.last_write = Some(now);
    }

    /// The application had an event.
    pub(crate) fn had_event(&mut self, now: Instant) {
        self.last_event = Some(now);
    }

    /// When there is something to do, if nothing is written before. It only ever moves to later.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.times().map(|(at, _)| at).min()
    }

    /// When a chunk that is handed over now has stalled.
    pub(crate) fn stalls_at(&self, now: Instant) -> Option<Instant> {
        self.stall.map(|timeout| now + timeout.min(LONGEST))
    }

    /// The same, if there were events since a timer was set that was to run out at `deadline`: there may be a burst, which
    /// is to be watched.
    pub(crate) fn next_stall(&self, deadline: Instant, now: Instant) -> Option<Instant> {
        let was_set = deadline.checked_sub(self.stall?.min(LONGEST));
        self.last_event.filter(|last| was_set.is_none_or(|at| at < *last)).and_then(|_| self.stalls_at(now))
    }

    /// Whether its lifetime is over.
    pub(crate) fn has_lived(&self, now: Instant) -> bool {
        self.lifetime.is_some() && self.due(now) == Some(Due::MaxLifetime)
    }

    /// What there is to do.
    pub(crate) fn due(&self, now: Instant) -> Option<Due> {
        self.times().filter(|(at, _)| *at <= now).map(|(_, due)| due).next()
    }

    /// An end comes before a keep-alive.
    fn times(&self) -> impl Iterator<Item = (Instant, Due)> {
        let time = |since: Option<Instant>, after: Option<Duration>, due| {
            since.zip(after).map(|(since, after)| (since + after.min(LONGEST), due))
        };
        [
            time(self.start, self.lifetime, Due::MaxLifetime),
            time(self.last_event, self.idle, Due::Idle),
            time(self.last_write, self.keep_alive, Due::KeepAlive),
        ]
        .into_iter()
        .flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn each_is_due_in_its_time_and_ends_come_first() {
        let start = Instant::now();
        let at = |seconds: u32| start + seconds * SECOND;
        let mut schedule = Schedule::default();
        schedule.start(start);
        assert_eq!((schedule.next(), schedule.due(at(1000))), (None, None));

        schedule.keep_alive = Some(15 * SECOND);
        schedule.idle = Some(40 * SECOND);
        schedule.lifetime = Some(60 * SECOND);
        assert_eq!((schedule.next(), schedule.due(at(14))), (Some(at(15)), None));
        assert_eq!(schedule.due(at(15)), Some(Due::KeepAlive));
        schedule.wrote(at(15));
        assert_eq!((schedule.next(), schedule.due(at(29))), (Some(at(30)), None));
        schedule.wrote(at(30));
        assert_eq!(schedule.next(), Some(at(40)), "a write is no event");
        schedule.wrote(at(35));
        schedule.had_event(at(35));
        assert_eq!((schedule.next(), schedule.due(at(50))), (Some(at(50)), Some(Due::KeepAlive)));
        schedule.wrote(at(50));
        assert_eq!((schedule.next(), schedule.due(at(59))), (Some(at(60)), None));
        assert_eq!(schedule.due(at(60)), Some(Due::MaxLifetime), "not the keep-alive of 65 s, nor idle at 75 s");
        assert_eq!(schedule.due(at(80)), Some(Due::MaxLifetime));
    }

    #[test]
    fn times_beyond_the_clock_are_in_a_year() {
        let now = Instant::now();
        let mut schedule = Schedule { lifetime: Some(Duration::MAX), ..Schedule::default() };
        schedule.start(now);
        assert_eq!(schedule.next(), Some(now + LONGEST));
    }
}
