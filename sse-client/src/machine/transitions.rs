//! The transitions of a machine: its next action, and what the driver tells it. [`State`] draws them.

use alloc::vec::Vec;
use core::time::Duration;

use ssekit_core::{DecodeError, MessageEvent};

use super::action::{Action, ReadyState};
use super::failure::{Failure, excerpt};
use super::head::{ResponseHead, find_unsendable_byte, is_event_stream, is_identity};
use super::outcome::{EndReason, NextStep};
use super::state::State;
use super::{AttemptRecord, ClientMachine};

/// How long the body of a response that is not an event stream is read.
const REFUSED_BODY_TIME: Duration = Duration::from_secs(5);

/// Whether `now` has reached the deadline, if there is one.
fn is_over(deadline: Option<Duration>, now: Duration) -> bool {
    deadline.is_some_and(|deadline| now >= deadline)
}

impl ClientMachine {
    /// Returns the next action, given that nothing else has happened until `now`.
    ///
    /// Tell the machine what was received before you ask: an overdue deadline becomes a failure here.
    pub fn next_action(&mut self, now: Duration) -> Action {
        // Ends: a state without an action leads to `Failed` or `Closed`, which have one.
        loop {
            if let Some(action) = self.advance(now) {
                return action;
            }
        }
    }

    /// Returns the action of the state; `None` when the state has changed, and the new one decides.
    fn advance(&mut self, now: Duration) -> Option<Action> {
        match &mut self.state {
            State::Waiting { until } if now < *until => Some(Action::Wait { until: *until }),
            State::Waiting { .. } => self.start_attempt(now),
            State::Redirected { deadline } => {
                self.state = State::Requesting { deadline: *deadline };
                Some(Action::SendRequest)
            }
            State::Requesting { deadline } if !is_over(*deadline, now) => Some(Action::AwaitHead { until: *deadline }),
            State::Requesting { .. } => {
                let limit = self.settings.response_timeout.unwrap_or_default();
                self.fail(now, Failure::ResponseTimeout { limit });
                None
            }
            State::Open { idle_since } => {
                // The time starts when the driver waits. Bytes that came before are there when it reads.
                let since = *idle_since.get_or_insert(now);
                self.await_bytes(now, since)
            }
            State::Refused { deadline, .. } if now < *deadline => Some(Action::ReadBody { until: Some(*deadline) }),
            State::Refused { .. } => {
                self.finish_refused(now);
                None
            }
            State::Failed { .. } => self.report_failure(),
            State::Closed(reason) => Some(Action::Close(*reason)),
        }
    }

    /// Leaves `Waiting` for the next attempt.
    fn start_attempt(&mut self, now: Duration) -> Option<Action> {
        self.targets.start_attempt();
        self.decoder.reconnect();
        self.attempt = AttemptRecord { number: self.attempt.number.saturating_add(1), ..AttemptRecord::default() };
        let deadline = self.settings.response_timeout.map(|limit| now.saturating_add(limit));
        self.state = State::Requesting { deadline };
        match find_unsendable_byte(self.decoder.last_event_id()) {
            None => Some(Action::SendRequest),
            Some((byte, position)) => {
                self.fail(now, Failure::LastEventId { byte, position });
                None
            }
        }
    }

    /// Stays `Open` until nothing was received for the idle timeout.
    fn await_bytes(&mut self, now: Duration, since: Duration) -> Option<Action> {
        let until = self.settings.idle_timeout.map(|limit| since.saturating_add(limit));
        if !is_over(until, now) {
            return Some(Action::ReadBody { until });
        }
        let limit = self.settings.idle_timeout.unwrap_or_default();
        self.fail(now, Failure::IdleTimeout { limit });
        None
    }

    /// Leaves `Failed`, if the machine is there.
    fn report_failure(&mut self) -> Option<Action> {
        let State::Failed { failure, next_step, at } = self.state.take() else { return None };
        self.state = match next_step {
            NextStep::Retry { delay } => State::Waiting { until: at.saturating_add(delay) },
            NextStep::Continue | NextStep::End => State::Closed(EndReason::Failed),
        };
        Some(Action::ReportFailure(failure, next_step))
    }

    /// Tells the machine the head of the response. Returns whether the stream is open now.
    ///
    /// Source: WHATWG HTML, section 9.2.2, step 16 of the constructor ("if res's status is not 200, or if res's
    /// `Content-Type` is not `text/event-stream`, then fail the connection").
    pub fn receive_head(&mut self, now: Duration, head: ResponseHead<'_>) -> bool {
        let State::Requesting { deadline } = self.state else { return false };
        match head.status {
            200 if head.content_type.is_some_and(is_event_stream) => match head.content_encoding {
                Some(encoding) if !is_identity(encoding) => {
                    self.fail(now, Failure::ContentEncoding { content_encoding: excerpt(encoding) });
                }
                _ => {
                    self.attempt.opened_at = Some(now);
                    self.state = State::Open { idle_since: None };
                    return true;
                }
            },
            200 => {
                let content_type = head.content_type.map(excerpt);
                self.refuse(now, Failure::ContentType { content_type, body: Vec::new() }, head.retry_after);
            }
            // "Clients will reconnect if the connection is closed; a client can be told to stop reconnecting using the HTTP
            // 204 No Content response code."
            204 => self.state = State::Closed(EndReason::NoContent),
            status @ (301 | 302 | 303 | 307 | 308) => {
                match self.targets.follow(status, head.location, self.settings.max_redirects) {
                    Ok(()) => self.state = State::Redirected { deadline },
                    Err(error) => self.fail(now, Failure::Redirect(error)),
                }
            }
            status => self.refuse(now, Failure::Status { status, body: Vec::new() }, head.retry_after),
        }
        false
    }

    /// Enters `Refused`, to read the start of the body.
    fn refuse(&mut self, now: Duration, failure: Failure, retry_after: Option<Duration>) {
        self.state = State::Refused { failure, retry_after, deadline: now.saturating_add(REFUSED_BODY_TIME) };
    }

    /// Leaves `Refused`, if the machine is there: the body is long enough, late, or over.
    fn finish_refused(&mut self, now: Duration) {
        if let State::Refused { .. } = self.state {
            let State::Refused { failure, retry_after, .. } = self.state.take() else { return };
            self.settle(now, failure, retry_after);
        }
    }

    /// Tells the machine that a chunk of the body was received.
    ///
    /// Then call [`next_event`](Self::next_event) for the events in the chunk.
    pub fn receive_chunk(&mut self, chunk: &[u8]) {
        self.state.receive_chunk(chunk);
    }

    /// Returns the next event in `chunk`, and moves `chunk` past it.
    ///
    /// Returns `Ok(None)` when the chunk is used up, or the stream is over. The event borrows from the chunk or from the
    /// machine, as with the decoder's [`next_event`](ssekit_core::BufferedDecoder::next_event).
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when an event is over a limit. The event is dropped, and the next call continues after it.
    #[inline]
    pub fn next_event<'a, 'c: 'a>(&'a mut self, chunk: &mut &'c [u8]) -> Result<Option<MessageEvent<'a>>, DecodeError> {
        if !matches!(self.state, State::Open { .. }) {
            *chunk = &[];
            return Ok(None);
        }
        let event = self.decoder.next_event(chunk)?;
        if let (Some(event), Some(single_response)) = (&event, &self.settings.single_response) {
            if single_response.is_end_marker(event) {
                self.state = State::Closed(EndReason::Done);
                *chunk = &[];
                return Ok(None);
            }
        }
        self.attempt.has_events |= event.is_some();
        Ok(event)
    }

    /// Tells the machine that the body ended.
    ///
    /// In the middle of an event this is [`Failure::Interrupted`], even if HTTP says that the body is complete.
    pub fn receive_end(&mut self, now: Duration) {
        let is_cut_off = self.decoder.has_unfinished_event();
        self.fail(now, if is_cut_off { Failure::Interrupted } else { Failure::StreamEnd });
    }

    /// Tells the machine that something failed, for example with [`Failure::NoResponse`] or [`Failure::Interrupted`].
    pub fn fail(&mut self, now: Duration, failure: Failure) {
        match self.state {
            State::Requesting { .. } | State::Open { .. } => self.settle(now, failure, None),
            // The response is the failure to report. Its body ends here.
            State::Refused { .. } => self.finish_refused(now),
            // The next request would fail in the same way.
            State::Waiting { .. } | State::Redirected { .. } if failure.is_permanent() => {
                self.settle(now, failure, None);
            }
            State::Waiting { .. } | State::Redirected { .. } | State::Failed { .. } | State::Closed(_) => {}
        }
    }

    /// Starts a new attempt at once, unless the machine is closed.
    ///
    /// The last event ID is kept. A failure that was not reported yet is not reported. A single response is requested a
    /// second time.
    pub fn restart(&mut self) {
        if self.ready_state() != ReadyState::Closed {
            self.state = State::Waiting { until: Duration::ZERO };
        }
    }
}
