//! The actions that a driver takes for the machine.

use core::time::Duration;

use super::failure::Failure;
use super::outcome::{EndReason, NextStep};

/// The next action of a driver.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "a driver must take every action, so a new one has to break its build")]
pub enum Action {
    /// Drop the connection, if there is one, and send the request that [`ClientMachine::request`] describes.
    ///
    /// [`ClientMachine::request`]: super::ClientMachine::request
    SendRequest,
    /// Wait for the head of the response.
    AwaitHead {
        /// The time until which to wait; `None` means no limit.
        until: Option<Duration>,
    },
    /// Read from the body.
    ReadBody {
        /// The time until which to wait for bytes; `None` means no limit.
        until: Option<Duration>,
    },
    /// Drop the connection, if there is one, and wait.
    Wait {
        /// The time of the next attempt.
        until: Duration,
    },
    /// Drop the connection, if there is one, and report the failure. Each failure is reported once.
    ReportFailure(Failure, NextStep),
    /// Drop the connection, if there is one, and stop: there are no more events.
    Close(EndReason),
}

/// The state of an event source, as the standard's `readyState` defines it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "these are all states of the standard")]
pub enum ReadyState {
    /// "The connection has not yet been established, or it was closed and the user agent is reconnecting."
    Connecting,
    /// "The user agent has an open connection and is dispatching events as it receives them."
    Open,
    /// "The connection is not open, and the user agent is not trying to reconnect."
    Closed,
}
