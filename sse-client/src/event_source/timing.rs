//! The clock and the timer of an event source, and the deadlines of its server.

use alloc::boxed::Box;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use tokio::runtime::{self, Handle};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::client_error::BoxError;

/// The longest time that the timer is set for. Not every clock can represent more.
const MAX_SLEEP: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// How late a poll may be for a deadline to count, and for how long an extension gives the server more time.
const EXTENSION: Duration = Duration::from_millis(50);

/// How often a deadline is extended.
const MAX_EXTENSIONS: u8 = 2;

/// The machine's clock: the time since the source was first polled.
#[derive(Default)]
pub(super) struct Clock {
    start: Option<Instant>,
}

impl Clock {
    pub(super) fn now(&mut self) -> Duration {
        let now = Instant::now();
        now.saturating_duration_since(*self.start.get_or_insert(now))
    }

    /// Returns the instant of a time of the machine, at most [`MAX_SLEEP`] from now.
    pub(super) fn instant(&self, time: Duration, now: Duration) -> Option<Instant> {
        Some(self.start? + time.min(now.saturating_add(MAX_SLEEP)))
    }
}

/// The time until which the server must answer or send something.
///
/// A source that is polled long after the deadline cannot tell a silent server from a busy program: the runtime may have had
/// no chance to read what was received. So it extends the deadline, twice: the runtime may be about to read when the first
/// extension ends.
#[derive(Default)]
pub(super) struct ServerDeadline {
    due: Option<Duration>,
    /// How often the deadline was extended.
    extensions: u8,
    /// The end of the last extension.
    extended_until: Duration,
}

impl ServerDeadline {
    pub(super) fn set(&mut self, due: Option<Duration>) {
        self.due = due;
    }

    /// Forgets the deadline and its extensions: the server has sent something, or the connection is gone.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Returns the time until which to wait although the deadline is over, if there is an extension.
    pub(super) fn extension(&mut self, now: Duration) -> Option<Duration> {
        self.due.filter(|due| now > due.saturating_add(EXTENSION))?;
        if now >= self.extended_until {
            if self.extensions == MAX_EXTENSIONS {
                return None;
            }
            self.extensions += 1;
            self.extended_until = now.saturating_add(EXTENSION);
        }
        Some(self.extended_until)
    }
}

/// A timer that is kept from one wait to the next.
#[derive(Default)]
pub(super) struct Timer {
    /// The timer, and the runtime that it belongs to.
    sleep: Option<(runtime::Id, Pin<Box<Sleep>>)>,
}

impl Timer {
    /// Frees the timer.
    pub(super) fn clear(&mut self) {
        self.sleep = None;
    }

    /// Waits until this instant or an earlier one; for ever without one.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, at: Option<Instant>) -> Poll<Result<(), BoxError>> {
        let Some(at) = at else {
            self.clear();
            return Poll::Pending;
        };
        let runtime = match current_runtime() {
            Ok(runtime) => runtime,
            Err(error) => return Poll::Ready(Err(error)),
        };
        let sleep = match &mut self.sleep {
            Some((id, sleep)) if *id == runtime => {
                // An earlier timer may fire first: one wake-up is cheaper than a reset for each chunk.
                if sleep.deadline() > at || sleep.is_elapsed() {
                    sleep.as_mut().reset(at);
                }
                sleep
            }
            sleep => &mut sleep.insert((runtime, Box::pin(sleep_until(at)))).1,
        };
        sleep.as_mut().poll(cx).map(Ok)
    }
}

/// Returns the tokio runtime in which the source is polled.
pub(super) fn current_runtime() -> Result<runtime::Id, BoxError> {
    match Handle::try_current() {
        Ok(runtime) => Ok(runtime.id()),
        Err(_) => Err("there is no tokio runtime: poll the event source inside one".into()),
    }
}
