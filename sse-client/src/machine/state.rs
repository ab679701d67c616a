//! The states of a machine.
//!
//! ```text
//!  new, restart()
//!      |
//!      v      the time is over           event stream
//!   Waiting -------------------> Requesting --------> Open ---- end marker, --+
//!      ^                          |  ^  |  |           |        body end of   |
//!      |                 redirect |  |  |  |           |        a single      |
//!      |                          v  |  |  |           |        response      |
//!      |                    Redirected  |  |           |                      |
//!      |                                |  |           | failure              |
//!      |                  other response|  | failure   |                      |
//!      |                                v  |           |                      |
//!      |                          Refused  |           |                      |
//!      |             body read or late |   |           |                      |
//!      |                               v   v           |                      |
//!      +------------------------------ Failed <--------+                      |
//!        reported, with a retry          |                                    |
//!                                        | reported, without a retry          |
//!                                        v                                    |
//!                                     Closed <--------------------------------+
//!                                        ^------- 204, from Requesting
//! ```
//!
//! | state | next action | ready state |
//! |---|---|---|
//! | `Waiting` | `Wait`, then `SendRequest` as `Requesting` | connecting |
//! | `Redirected` | `SendRequest` as `Requesting` | connecting |
//! | `Requesting` | `AwaitHead` | connecting |
//! | `Open` | `ReadBody` | open |
//! | `Refused` | `ReadBody` | connecting |
//! | `Failed` | `ReportFailure`, then `Wait` or `Close` | connecting; closed without a retry |
//! | `Closed` | `Close` | closed |
//!
//! `restart` leads from every state to `Waiting`, except when the ready state is closed. A failure that makes every further
//! request impossible ends `Waiting` and `Redirected` too. All other input that does not fit the state is ignored.

use core::mem;
use core::time::Duration;

use super::action::ReadyState;
use super::failure::Failure;
use super::outcome::{EndReason, NextStep};

/// How many bytes are kept of the body of a response that is not an event stream.
const MAX_REFUSED_BODY: usize = 8 << 10;

/// The state of a machine: see the module.
pub(super) enum State {
    /// The next attempt starts at this time.
    Waiting { until: Duration },
    /// The server redirected the attempt. The request to the new target was not sent yet.
    Redirected { deadline: Option<Duration> },
    /// The request is being sent, or the response is awaited, until the deadline of the attempt.
    Requesting { deadline: Option<Duration> },
    /// The response is an event stream, whose body is being read.
    ///
    /// Since `idle_since` the driver has been waiting for bytes; `None` when it has not asked since the last ones.
    Open { idle_since: Option<Duration> },
    /// The response is not an event stream. The start of its body is being read, for the failure.
    Refused { failure: Failure, retry_after: Option<Duration>, deadline: Duration },
    /// The attempt failed at this time. The failure was not reported yet.
    Failed { failure: Failure, next_step: NextStep, at: Duration },
    /// There are no more events.
    Closed(EndReason),
}

impl State {
    /// Returns the state, and leaves `Closed` for a moment, until the caller sets the next one.
    pub(super) fn take(&mut self) -> Self {
        mem::replace(self, Self::Closed(EndReason::Failed))
    }

    pub(super) fn ready_state(&self) -> ReadyState {
        match self {
            Self::Open { .. } => ReadyState::Open,
            Self::Closed(_) | Self::Failed { next_step: NextStep::End, .. } => ReadyState::Closed,
            _ => ReadyState::Connecting,
        }
    }

    /// Whether there is a use for more of the body.
    pub(super) fn wants_body(&self) -> bool {
        match self {
            Self::Open { .. } => true,
            // The deadline is zero when the body is long enough.
            Self::Refused { deadline, .. } => !deadline.is_zero(),
            _ => false,
        }
    }

    /// Notes that bytes of the body were received.
    pub(super) fn receive_chunk(&mut self, chunk: &[u8]) {
        match self {
            Self::Open { idle_since } => *idle_since = None,
            Self::Refused {
                failure: Failure::Status { body, .. } | Failure::ContentType { body, .. },
                deadline,
                ..
            } => {
                let room = MAX_REFUSED_BODY - body.len();
                body.extend_from_slice(chunk.get(..room).unwrap_or(chunk));
                if body.len() == MAX_REFUSED_BODY {
                    *deadline = Duration::ZERO;
                }
            }
            _ => {}
        }
    }
}
