//! The loop that drives the machine: each poll of an event source takes the steps drawn here.
//!
//! ```text
//!  poll_item
//!      |
//!      v
//!  1. Is there an item in the chunk? ------------ yes ---> return it
//!      | no
//!      v
//!  2. Has the connection received something? ---- yes ---> tell the machine, then
//!      | no                                                  opened:    return the opening
//!      |                                                     otherwise: back to 1
//!      v
//!  3. Is the server's deadline extended? -------- yes ---> wait for the timer or the connection
//!      | no
//!      v
//!  4. Take the machine's next action:
//!       SendRequest ----------------> start the request, back to 1
//!       AwaitHead, ReadBody, Wait --> wait for the timer or the connection
//!       ReportFailure --------------> return the error
//!       Close ----------------------> return the end
//! ```
//!
//! The order matters: received bytes are never mistaken for silence, because the machine checks its deadlines in step 4 only.

use alloc::boxed::Box;
use alloc::string::ToString;
use core::mem;
use core::task::{Context, Poll, ready};
use core::time::Duration;

use http::response;
use sync_wrapper::SyncWrapper;

use super::EventSource;
use super::connection::{Connection, HeadValues, Received, mark_secrets};
use super::timing::current_runtime;
use crate::client_error::{BoxError, ClientError};
use crate::machine::{Action, EndReason, Failure, NextStep};
use crate::source_item::{Opened, SourceItem};

/// How many steps a poll takes without an item before it lets other tasks run.
pub(super) const MAX_STEPS: usize = 32;

/// The result of a step.
enum Progress {
    /// The source returns this.
    Item(Result<SourceItem, ClientError>),
    /// The state has changed: there may be an item now.
    Changed,
    /// The source has ended.
    Ended,
}

impl EventSource {
    pub(super) fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<SourceItem, ClientError>>> {
        for _ in 0..MAX_STEPS {
            if let Some(item) = self.chunk.next_item(&mut self.machine) {
                return Poll::Ready(Some(item));
            }
            match ready!(self.poll_step(cx)) {
                Progress::Item(item) => return Poll::Ready(Some(item)),
                Progress::Changed => {}
                Progress::Ended => return Poll::Ready(None),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Takes the steps 2 to 4, after the chunk is used up.
    // Not inlined, so that an item of the chunk costs as little as possible.
    #[inline(never)]
    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Progress> {
        if let Poll::Ready(received) = self.poll_connection(cx) {
            self.deadline.clear();
            return Poll::Ready(self.receive(received));
        }
        let now = self.clock.now();
        if let Some(until) = self.deadline.extension(now) {
            return self.poll_wait(cx, now, Some(until));
        }
        match self.machine.next_action(now) {
            Action::SendRequest => {
                self.disconnect();
                self.send_request(now);
                Poll::Ready(Progress::Changed)
            }
            Action::AwaitHead { until } | Action::ReadBody { until } => {
                self.deadline.set(until);
                self.poll_wait(cx, now, until)
            }
            Action::Wait { until } => {
                self.disconnect();
                self.poll_wait(cx, now, Some(until))
            }
            Action::ReportFailure(failure, next_step) => {
                Poll::Ready(Progress::Item(Err(self.report(failure, next_step))))
            }
            Action::Close(reason) => {
                self.disconnect();
                self.timer.clear();
                self.end_reason = Some(reason);
                Poll::Ready(Progress::Ended)
            }
        }
    }

    #[inline(always)]
    fn poll_connection(&mut self, cx: &mut Context<'_>) -> Poll<Received> {
        match self.connection {
            // The machine's next action drops the connection.
            Connection::Receiving(_) if !self.machine.wants_body() => Poll::Pending,
            _ => self.connection.poll(cx, &mut self.chunk),
        }
    }

    /// Tells the machine what the connection received.
    #[inline(always)]
    fn receive(&mut self, received: Received) -> Progress {
        match received {
            Received::Head(head) => return self.receive_head(*head),
            Received::Chunk => self.machine.receive_chunk(self.chunk.bytes()),
            Received::Trailers => {}
            Received::End => {
                let now = self.clock.now();
                self.machine.receive_end(now);
            }
            Received::Failure(failure, source) => {
                let now = self.clock.now();
                self.fail(now, failure, source);
            }
        }
        Progress::Changed
    }

    fn receive_head(&mut self, mut head: response::Parts) -> Progress {
        mark_secrets(&mut head.headers);
        let now = self.clock.now();
        let values = HeadValues::new(&head.headers);
        if !self.machine.receive_head(now, values.head(&head)) {
            self.failure_context.headers = Some(head.headers);
            return Progress::Changed;
        }
        self.requests.last_status = None;
        self.timer.clear();
        self.chunk.reset_comments();
        let request = self.machine.request();
        Progress::Item(Ok(SourceItem::Opened(Box::new(Opened {
            attempt: request.attempt,
            url: request.url.to_string(),
            last_event_id: self.machine.last_event_id().to_string(),
            version: head.version,
            headers: head.headers,
        }))))
    }

    fn send_request(&mut self, now: Duration) {
        match current_runtime() {
            Ok(_) => {
                let sending = self.requests.send(&self.machine.request());
                self.connection = Connection::Sending(SyncWrapper::new(sending));
            }
            Err(error) => self.fail(now, Failure::Request, error),
        }
    }

    /// Tells the machine about a failure, and keeps its cause for the report.
    fn fail(&mut self, now: Duration, failure: Failure, source: BoxError) {
        self.failure_context.source = Some(source);
        self.machine.fail(now, failure);
    }

    /// Returns the error for a failure that the machine reports.
    fn report(&mut self, failure: Failure, next_step: NextStep) -> ClientError {
        let context = mem::take(&mut self.failure_context);
        if context.headers.is_some() {
            self.requests.last_status = failure.status();
        }
        if next_step == NextStep::End {
            self.end_reason = Some(EndReason::Failed);
        }
        self.disconnect();
        ClientError::new(failure, next_step, self.machine.request().attempt, context)
    }

    /// Drops the connection and everything that was received and not returned.
    pub(super) fn disconnect(&mut self) {
        self.connection = Connection::None;
        self.chunk.clear();
        self.deadline.clear();
        self.failure_context = Default::default();
    }

    /// Waits until a time of the machine's clock, or for the connection.
    fn poll_wait(&mut self, cx: &mut Context<'_>, now: Duration, until: Option<Duration>) -> Poll<Progress> {
        let at = until.and_then(|until| self.clock.instant(until, now));
        match self.timer.poll(cx, at) {
            Poll::Ready(Ok(())) => return Poll::Ready(Progress::Changed),
            Poll::Ready(Err(error)) => {
                self.fail(now, Failure::Request, error);
                return Poll::Ready(Progress::Changed);
            }
            Poll::Pending => {}
        }
        match &mut self.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => self.waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}
