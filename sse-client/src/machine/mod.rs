//! The rules of an EventSource as a state machine: without I/O, without a clock, and without std.
//!
//! A driver connects a [`ClientMachine`] to a transport and a clock. It repeats two steps:
//!
//! 1. It asks for the [next action](ClientMachine::next_action), and takes it.
//! 2. It tells the machine the result and the time, by one of the methods in the table.
//!
//! Time is a [`Duration`] since any moment that the driver chooses. It never goes back.
//!
//! | [`Action`] | the driver | then calls |
//! |---|---|---|
//! | [`SendRequest`](Action::SendRequest) | sends [`request`](ClientMachine::request), and does not follow redirects | |
//! | [`AwaitHead`](Action::AwaitHead) | waits for the head of the response | [`receive_head`](ClientMachine::receive_head) or [`fail`](ClientMachine::fail) |
//! | [`ReadBody`](Action::ReadBody) | reads from the body | [`receive_chunk`](ClientMachine::receive_chunk) and [`next_event`](ClientMachine::next_event) until it returns `None`; [`receive_end`](ClientMachine::receive_end); or [`fail`](ClientMachine::fail) |
//! | [`Wait`](Action::Wait) | drops the connection, and waits | |
//! | [`ReportFailure`](Action::ReportFailure) | drops the connection, and reports the failure | |
//! | [`Close`](Action::Close) | drops the connection, and ends | |
//!
//! If nothing happens until the time that an action names, the driver asks for the next action.
//!
//! # Example
//!
//! ```
//! use std::time::Duration;
//! use ssekit_client::machine::{Action, ClientMachine, Failure, NextStep, ResponseHead};
//!
//! let mut machine = ClientMachine::new("http://localhost/events", 7)?;
//! let now = Duration::ZERO;
//! assert_eq!(machine.next_action(now), Action::SendRequest);
//! assert_eq!(machine.request().url, "http://localhost/events");
//!
//! let head = ResponseHead::new(200).with_content_type(b"text/event-stream");
//! assert!(machine.receive_head(now, head), "the stream is open");
//! assert_eq!(machine.next_action(now), Action::ReadBody { until: None });
//!
//! let mut chunk = &b"retry: 3000\nid: 41\ndata: hello\n\n"[..];
//! machine.receive_chunk(chunk);
//! while let Some(event) = machine.next_event(&mut chunk)? {
//!     assert_eq!(event.data, "hello");
//! }
//! machine.receive_end(now);
//! let delay = Duration::from_secs(3);
//! let retry = Action::ReportFailure(Failure::StreamEnd, NextStep::Retry { delay });
//! assert_eq!(machine.next_action(now), retry);
//!
//! assert_eq!(machine.next_action(now), Action::Wait { until: delay });
//! assert_eq!(machine.next_action(delay), Action::SendRequest);
//! assert!(machine.request().headers().any(|header| header == ("last-event-id", b"41")));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod action;
mod after_failure;
mod failure;
pub(crate) mod head;
mod invalid_input;
mod outcome;
mod retry_policy;
mod single_response;
mod state;
mod target;
mod transitions;

use alloc::boxed::Box;
use core::fmt;
use core::time::Duration;

use ssekit_core::{Decoder, EventId, Limits, MessageEvent};
use url::Url;

pub use action::{Action, ReadyState};
pub use failure::{Failure, RedirectError};
use head::find_unsendable_byte;
pub use head::{RequestHead, ResponseHead};
pub use invalid_input::{InvalidLastEventId, InvalidUrl};
pub use outcome::{EndReason, NextStep};
pub use retry_policy::RetryPolicy;
pub(crate) use single_response::SingleResponse;
use state::State;
use target::Targets;

/// An event source without a transport and without a clock. See the [module](self) for how to drive it.
pub struct ClientMachine {
    settings: Settings,
    targets: Targets,
    decoder: Decoder,
    rng: fastrand::Rng,
    state: State,
    attempt: AttemptRecord,
    /// The number of failures since the last healthy connection or intended end.
    failures_in_row: u32,
}

/// The settings that the application chooses.
struct Settings {
    retry_policy: RetryPolicy,
    response_timeout: Option<Duration>,
    idle_timeout: Option<Duration>,
    max_redirects: u32,
    /// The mark of the end, if the stream is a single response.
    single_response: Option<SingleResponse>,
}

/// The facts about the current attempt.
#[derive(Default)]
struct AttemptRecord {
    /// The number of the attempt, counted from 1; 0 before the first.
    number: u64,
    /// The time at which the stream was opened.
    opened_at: Option<Duration>,
    /// Whether the stream has delivered an event.
    has_events: bool,
}

/// Shows neither the query of the URL nor events.
impl fmt::Debug for ClientMachine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientMachine")
            .field("ready_state", &self.ready_state())
            .field("request", &self.request())
            .field("failures_in_row", &self.failures_in_row)
            .field("retry_policy", &self.settings.retry_policy)
            .finish_non_exhaustive()
    }
}

impl ClientMachine {
    /// Creates a machine for a URL with the scheme `http` or `https`.
    ///
    /// The machine removes credentials from the URL. The driver sends them in a header field.
    ///
    /// `seed` is the seed of the random backoff. Use a random number, so that clients do not return at the same time.
    ///
    /// # Errors
    ///
    /// [`InvalidUrl`] when the text is not such a URL.
    pub fn new(url: &str, seed: u64) -> Result<Self, InvalidUrl> {
        let parsed = Url::parse(url).map_err(|error| InvalidUrl::new(url, Some(error)))?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(InvalidUrl::new(url, None));
        }
        Ok(Self {
            settings: Settings {
                retry_policy: RetryPolicy::new(),
                response_timeout: None,
                idle_timeout: None,
                max_redirects: 20,
                single_response: None,
            },
            targets: Targets::new(parsed),
            decoder: Decoder::new(),
            rng: fastrand::Rng::with_seed(seed),
            state: State::Waiting { until: Duration::ZERO },
            attempt: AttemptRecord::default(),
            failures_in_row: 0,
        })
    }

    /// Sets the method, and whether the request has a body. By default it is `GET` without a body.
    #[must_use]
    pub fn with_method(mut self, method: &str, has_body: bool) -> Self {
        self.targets.set_method(method, has_body);
        self
    }

    /// Sets the rules for further attempts. [`RetryPolicy::new`] by default.
    #[must_use]
    pub fn with_retry_policy(mut self, policy: RetryPolicy) -> Self {
        self.settings.retry_policy = policy;
        self
    }

    /// Limits the time from the start of an attempt to the head of the response, redirects included.
    ///
    /// No limit by default; `None` and zero mean no limit.
    #[must_use]
    pub fn with_response_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.settings.response_timeout = limit.into().filter(|limit| !limit.is_zero());
        self
    }

    /// Limits the time without any byte while the stream is open.
    ///
    /// No limit by default; `None` and zero mean no limit.
    #[must_use]
    pub fn with_idle_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.settings.idle_timeout = limit.into().filter(|limit| !limit.is_zero());
        self
    }

    /// Limits the number of redirects that an attempt follows. 20 by default.
    #[must_use]
    pub fn with_max_redirects(mut self, limit: u32) -> Self {
        self.settings.max_redirects = limit;
        self
    }

    /// Sets the limits for events. Call this before [`set_last_event_id`](Self::set_last_event_id): it clears the ID.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.decoder = Decoder::with_limits(limits);
        self
    }

    /// Receives a single response, such as the answer of a language model. Once it has begun, no attempt follows.
    ///
    /// Two marks end it without a failure: an event whose data is `[DONE]`, which is not returned
    /// ([`EndReason::Done`]), and an end of the body between two events ([`EndReason::StreamEnd`]).
    #[must_use]
    pub fn with_single_response(self) -> Self {
        self.set_single_response(SingleResponse::DoneOrBodyEnd)
    }

    /// Receives a single response that ends with an event for which `is_end_marker` returns true.
    ///
    /// That event is not returned. If the body ends before it, this is the failure [`Failure::StreamEnd`].
    #[must_use]
    pub fn with_single_response_until(
        self,
        is_end_marker: impl Fn(&MessageEvent<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.set_single_response(SingleResponse::Until(Box::new(is_end_marker)))
    }

    pub(crate) fn set_single_response(mut self, single_response: SingleResponse) -> Self {
        self.settings.single_response = Some(single_response);
        self
    }

    /// Sets the last event ID, to continue where another program stopped.
    ///
    /// # Errors
    ///
    /// [`InvalidLastEventId`] when no event can have this ID, or HTTP cannot transmit it. The last event ID does not change
    /// then.
    pub fn set_last_event_id(&mut self, id: &str) -> Result<(), InvalidLastEventId> {
        let id = EventId::new(id).map_err(InvalidLastEventId::Value)?;
        if let Some((byte, position)) = find_unsendable_byte(id.as_str()) {
            return Err(InvalidLastEventId::Unsendable { byte, position });
        }
        self.decoder.set_last_event_id(id).map_err(InvalidLastEventId::Limit)
    }

    /// Returns the request to send.
    pub fn request(&self) -> RequestHead<'_> {
        let target = self.targets.current();
        RequestHead {
            url: target.url.as_str(),
            method: &target.method,
            has_body: target.has_body,
            is_cross_origin: target.is_cross_origin,
            attempt: self.attempt.number,
            last_event_id: self.decoder.last_event_id(),
        }
    }

    /// Returns the standard's `readyState`.
    pub fn ready_state(&self) -> ReadyState {
        self.state.ready_state()
    }

    /// Whether the machine has a use for more of the body. If not, drop the connection.
    pub fn wants_body(&self) -> bool {
        self.state.wants_body()
    }

    /// Returns the last event ID, or an empty text.
    pub fn last_event_id(&self) -> &str {
        self.decoder.last_event_id()
    }

    /// Returns the reconnection time: the server's last `retry` field, or else the policy's time.
    pub fn reconnection_time(&self) -> Duration {
        self.decoder.reconnection_time().unwrap_or(self.settings.retry_policy.reconnection_time())
    }

    /// Returns the limits for events.
    pub fn limits(&self) -> Limits {
        self.decoder.limits()
    }
}
