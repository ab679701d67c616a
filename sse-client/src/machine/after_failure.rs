//! The decision what follows a failure: another attempt, and when, or the end.

use core::time::Duration;

use super::ClientMachine;
use super::failure::Failure;
use super::outcome::{EndReason, NextStep};
use super::single_response::SingleResponse;
use super::state::State;

impl ClientMachine {
    /// Leaves the state for `Failed`, or for `Closed` when a single response is complete.
    ///
    /// `retry_after` is the time of the response's `Retry-After`.
    pub(super) fn settle(&mut self, now: Duration, failure: Failure, retry_after: Option<Duration>) {
        let was_open = self.attempt.opened_at.is_some();
        if !was_open && !failure.is_before_request() {
            self.targets.forget_redirects();
        }
        let next_step = match &self.settings.single_response {
            Some(SingleResponse::DoneOrBodyEnd) if was_open && failure == Failure::StreamEnd => {
                self.state = State::Closed(EndReason::StreamEnd);
                return;
            }
            // A response that has begun is not requested twice.
            Some(_) if was_open => NextStep::End,
            _ => self.next_step(now, &failure, retry_after),
        };
        self.state = State::Failed { failure, next_step, at: now };
    }

    /// Counts the failure, and asks the retry policy.
    fn next_step(&mut self, now: Duration, failure: &Failure, retry_after: Option<Duration>) -> NextStep {
        // A server that sent events and ended the stream between two of them did so on purpose.
        let is_intended = *failure == Failure::StreamEnd && self.attempt.has_events;
        if is_intended || self.was_healthy(now, failure) {
            self.failures_in_row = 0;
        }
        if !is_intended {
            self.failures_in_row = self.failures_in_row.saturating_add(1);
        }
        let n = self.failures_in_row.max(1);
        let retry_field = self.decoder.reconnection_time();
        let policy = &self.settings.retry_policy;
        let backoff = match retry_field {
            Some(_) if is_intended => Duration::ZERO,
            _ => policy.backoff(n, &mut self.rng),
        };
        let server_delay = retry_field.unwrap_or_default().max(retry_after.unwrap_or_default());
        if !policy.is_retried(failure, n, server_delay) {
            return NextStep::End;
        }
        let least = self.reconnection_time().max(server_delay).max(policy.min_delay());
        NextStep::Retry { delay: least.saturating_add(backoff) }
    }

    /// Whether the connection was open for long enough to end the row of failures.
    fn was_healthy(&self, now: Duration, failure: &Failure) -> bool {
        // A silent connection may have been dead since its last byte, however late the driver notices.
        let alive_until = match (failure, &self.state) {
            (Failure::IdleTimeout { .. }, State::Open { idle_since: Some(since) }) => *since,
            _ => now,
        };
        let policy = &self.settings.retry_policy;
        self.attempt.opened_at.is_some_and(|at| policy.is_healthy_after(alive_until.saturating_sub(at)))
    }
}
