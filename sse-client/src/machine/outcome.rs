//! The consequence of a failure, and the reason why a stream is over.

use core::fmt;
use core::time::Duration;

/// The client's next step after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "a stream continues, is requested again, or is over")]
pub enum NextStep {
    /// The stream continues. Only the event or comment at fault was dropped.
    Continue,
    /// The client makes another attempt.
    Retry {
        /// The time until the attempt, counted from the failure.
        delay: Duration,
    },
    /// The client is closed, and makes no further attempt.
    End,
}

impl NextStep {
    /// The time until the next attempt, if there is one.
    pub fn retry_delay(self) -> Option<Duration> {
        match self {
            Self::Retry { delay } => Some(delay),
            Self::Continue | Self::End => None,
        }
    }
}

impl fmt::Display for NextStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Continue => f.write_str("stream continues"),
            Self::Retry { delay } => write!(f, "next attempt in {:.1} s", delay.as_secs_f64()),
            Self::End => f.write_str("no further attempt"),
        }
    }
}

/// The reason why there are no more events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndReason {
    /// The server answered 204 (No Content), which asks clients not to reconnect.
    NoContent,
    /// The single response is complete: its end marker was received.
    Done,
    /// The body of the single response ended between two events, without an end marker.
    StreamEnd,
    /// A failure that no further attempt follows. It was reported before.
    Failed,
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoContent => "server has no more events (204)",
            Self::Done => "response is complete",
            Self::StreamEnd => "server ended the response",
            Self::Failed => "stream failed",
        })
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn each_end_reason_has_its_own_text() {
        let shown = [EndReason::NoContent, EndReason::Done, EndReason::StreamEnd, EndReason::Failed]
            .map(|reason| reason.to_string());
        assert_eq!(
            shown,
            ["server has no more events (204)", "response is complete", "server ended the response", "stream failed"]
        );
    }

    #[test]
    fn only_a_retry_has_a_delay() {
        let delay = Duration::from_millis(1500);
        for (next_step, shown, expected) in [
            (NextStep::Continue, "stream continues", None),
            (NextStep::Retry { delay }, "next attempt in 1.5 s", Some(delay)),
            (NextStep::End, "no further attempt", None),
        ] {
            assert_eq!((next_step.to_string().as_str(), next_step.retry_delay()), (shown, expected));
        }
    }
}
