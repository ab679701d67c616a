//! The state of one stream that the body shares with everybody who may end the stream or wants to know of its end.
//!
//! # Phases
//!
//! ```text
//!          request_end               close, close_and_wake
//! Open ------------------> Ending ------------------------> Closed(reason)
//!   \________________________________________________________/
//! ```
//!
//! - **Open**: `closed` and `end_request` are both `None`.
//! - **Ending**: `end_request` is set. The body sends what is left and then closes with the reason of the request.
//! - **Closed**: `closed` is set. The first reason stays; later ones are ignored. The callbacks run once.
//!
//! # Who sets which reason
//!
//! | reason | set by | through |
//! |---|---|---|
//! | `StreamEnd`, `Error`, `Idle`, `MaxLifetime` | the body | `close` |
//! | `ClientGone` | the drop of the body | `close` |
//! | `ClientGone` | a `ConnectionGuard` that carries the stream | `request_end`, not graceful |
//! | `SlowConsumer` | the stall clock, or the drop of a body that had stalled | `close_and_wake`, `close` |
//! | `Disconnected` | a `StreamHandle` | `request_end`, not graceful |
//! | `Disconnected`, `StreamEnd` | the hub, after a client's last event | `request_end`, not graceful |
//! | `Disconnected`, `StreamEnd` | the hub, at once or for a client that does not read | `request_end`, then `close_and_wake` |
//! | `Draining` | a drain | `request_end`, graceful |
//! | `Draining` | the body of a stream that opens during a drain | `close` |
//! | `Forced` | a drain at its deadline | `request_end`, not graceful, then `close_and_wake` |
//!
//! Of several end requests the first one counts. A request that is not graceful replaces any earlier one.
//!
//! # Order of the callbacks
//!
//! The callbacks of `on_close` run in the order in which they were added. The one callback of `on_group_leave` runs last,
//! so a drain returns only after the application knows of every end. No lock is held while a callback runs.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
#[cfg(feature = "metrics")]
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};
use std::time::Duration;

use ssekit_core::{BoxError, EncodedEvent};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until};

use crate::close::{AfterEnd, CloseReason};
use crate::stall_clock::StallClock;
use crate::wakeups::Wakeups;

type OnClose = Box<dyn FnOnce(CloseReason) + Send>;

/// A request to end a stream.
#[derive(Clone, Debug)]
pub(crate) struct EndRequest {
    pub(crate) reason: CloseReason,
    /// The events that the body sends last.
    pub(crate) last_events: Vec<EncodedEvent>,
    /// Whether the body first sends all events that the application has ready.
    pub(crate) is_graceful: bool,
}

/// The shared state of one stream.
///
/// It is also the waker of the body's timer. The timer then sees whether the server still polls the body.
pub(crate) struct StreamControl {
    pub(crate) wakeups: Wakeups,
    pub(crate) stall_clock: StallClock,
    /// The events of the pages that a hub's stream has yielded and that no metric counts yet.
    #[cfg(feature = "metrics")]
    page_events: AtomicU64,
    phase: Mutex<Phase>,
}

#[derive(Default)]
struct Phase {
    closed: Option<CloseReason>,
    details: Box<Details>,
}

/// The fields that no event needs. They are boxed so that the fields that every event needs share few cache lines.
#[derive(Default)]
struct Details {
    end_request: Option<EndRequest>,
    stall_timeout: Option<Duration>,
    after_end: AfterEnd,
    /// Why the application says that the stream failed.
    failure: Option<BoxError>,
    on_close: Vec<OnClose>,
    on_group_leave: Option<OnClose>,
}

impl StreamControl {
    pub(crate) fn new(stall_timeout: Duration) -> Arc<Self> {
        let details = Details { stall_timeout: Some(stall_timeout), ..Details::default() };
        Arc::new(Self {
            wakeups: Wakeups::default(),
            stall_clock: StallClock::new(),
            #[cfg(feature = "metrics")]
            page_events: AtomicU64::new(0),
            phase: Mutex::new(Phase { closed: None, details: Box::new(details) }),
        })
    }

    #[cfg(feature = "hub")]
    pub(crate) fn stall_timeout(&self) -> Option<Duration> {
        self.phase().details.stall_timeout
    }

    pub(crate) fn set_stall_timeout(&self, timeout: Option<Duration>) {
        self.phase().details.stall_timeout = timeout;
    }

    pub(crate) fn set_after_end(&self, after_end: AfterEnd) {
        self.phase().details.after_end = after_end;
    }

    /// Makes the stream fail with this error when the application's stream ends.
    pub(crate) fn set_failure(&self, error: BoxError) {
        self.phase().details.failure = Some(error);
    }

    /// Returns what the client does after the application's stream has ended, or the failure of that stream.
    pub(crate) fn take_outcome(&self) -> Result<AfterEnd, BoxError> {
        let details = &mut self.phase().details;
        details.failure.take().map_or(Ok(details.after_end), Err)
    }

    pub(crate) fn close_reason(&self) -> Option<CloseReason> {
        self.phase().closed
    }

    /// Calls `callback` when the stream is closed, or now if it is.
    pub(crate) fn on_close(&self, callback: OnClose) {
        let mut phase = self.phase();
        match phase.closed {
            None => {
                // Most streams have one callback.
                if phase.details.on_close.capacity() == 0 {
                    phase.details.on_close.reserve_exact(1);
                }
                phase.details.on_close.push(callback);
            }
            Some(reason) => {
                drop(phase);
                callback(reason);
            }
        }
    }

    /// Calls `callback` after all others when the stream is closed, or now if it is. A stream has one such callback.
    pub(crate) fn on_group_leave(&self, callback: OnClose) {
        let mut phase = self.phase();
        match phase.closed {
            None => phase.details.on_group_leave = Some(callback),
            // A drain at its deadline closed the stream between its entry and this call.
            Some(reason) => {
                drop(phase);
                callback(reason);
            }
        }
    }

    /// Requests the end of the stream, and wakes its body.
    pub(crate) fn request_end(&self, request: EndRequest) {
        let mut phase = self.phase();
        let is_late = phase.details.end_request.is_some() && request.is_graceful;
        if phase.closed.is_some() || is_late {
            return;
        }
        phase.details.end_request = Some(request);
        drop(phase);
        self.wakeups.request_end();
        self.wakeups.wake();
    }

    /// Returns the end that was requested. A stream that is closed already ends at once, with its own reason.
    #[inline]
    pub(crate) fn end_request(&self) -> Option<EndRequest> {
        if self.wakeups.is_end_requested() { self.stored_end_request() } else { None }
    }

    fn stored_end_request(&self) -> Option<EndRequest> {
        let phase = self.phase();
        let request = phase.details.end_request.as_ref();
        let Some(reason) = phase.closed else { return request.cloned() };
        let forced = request.filter(|request| !request.is_graceful);
        let last_events = forced.map(|request| request.last_events.clone()).unwrap_or_default();
        Some(EndRequest { reason, last_events, is_graceful: false })
    }

    /// Closes the stream. The body calls this, so nobody needs to be woken.
    pub(crate) fn close(&self, reason: CloseReason) {
        // A waker that stays would keep the memory of the connection's task for as long as there is a handle.
        drop(self.close_and_take_waker(reason));
    }

    /// Closes the stream from outside of its body. A body that waits is woken and ends.
    pub(crate) fn close_and_wake(&self, reason: CloseReason) {
        self.close_and_take_waker(reason).into_iter().for_each(Waker::wake);
    }

    fn close_and_take_waker(&self, reason: CloseReason) -> Option<Waker> {
        let mut phase = self.phase();
        if phase.closed.is_some() {
            return None;
        }
        phase.closed = Some(reason);
        let (on_close, on_group_leave) = (mem::take(&mut phase.details.on_close), phase.details.on_group_leave.take());
        drop(phase);
        self.wakeups.request_end();
        let waker = self.wakeups.take_waker();
        for callback in on_close.into_iter().chain(on_group_leave) {
            // The panic of a callback was reported by the panic hook. It must not skip the other callbacks, break off a
            // drain, or abort the process when this runs in a drop during another panic.
            let _ = catch_unwind(AssertUnwindSafe(|| callback(reason)));
        }
        waker
    }

    /// Counts the events of a page that a hub's stream yields.
    #[cfg(all(feature = "hub", feature = "metrics"))]
    #[inline]
    pub(crate) fn add_page_events(&self, count: usize) {
        // Only the task that polls the stream adds and takes, so no read-modify-write is needed.
        self.page_events.store(self.page_events.load(Ordering::Relaxed) + count as u64, Ordering::Relaxed);
    }

    /// Returns the number of events in pages since the last call.
    #[cfg(feature = "metrics")]
    #[inline]
    pub(crate) fn take_page_events(&self) -> u64 {
        let events = self.page_events.load(Ordering::Relaxed);
        self.page_events.store(0, Ordering::Relaxed);
        events
    }

    /// Returns why a body was dropped before its stream ended. After the stall timeout the reason is the slow client,
    /// however the connection ended afterwards.
    pub(crate) fn reason_of_drop(&self) -> CloseReason {
        match self.stalls_at() {
            Some(at) if at <= Instant::now() => CloseReason::SlowConsumer,
            _ => CloseReason::ClientGone,
        }
    }

    fn stalls_at(&self) -> Option<Instant> {
        self.stall_clock.stalls_at(self.phase().details.stall_timeout)
    }

    /// Closes the stream at the end of the stall timeout, unless the server polls the body before.
    fn close_when_stalled(self: &Arc<Self>) {
        let waiting_since = self.stall_clock.waiting_since();
        // A new task, because the callbacks of the application must not run inside tokio's timer.
        if let (Some(at), Ok(runtime)) = (self.stalls_at(), Handle::try_current()) {
            let control = self.clone();
            runtime.spawn(async move {
                sleep_until(at).await;
                if control.stall_clock.waiting_since() == waiting_since {
                    control.close_and_wake(CloseReason::SlowConsumer);
                }
            });
        }
    }

    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for StreamControl {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    /// The body's timer ran out. A server that is stuck with a chunk is woken too, but does not poll the body.
    fn wake_by_ref(self: &Arc<Self>) {
        self.wakeups.set_timer_fired();
        self.close_when_stalled();
        self.wakeups.wake();
    }
}

/// Closes the stream when the body is dropped, unless it is closed already.
pub(crate) struct CloseOnDrop {
    pub(crate) control: Arc<StreamControl>,
}

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.control.close(self.control.reason_of_drop());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A drain at its deadline comes between the two steps by which a stream enters its group.
    #[test]
    fn stream_closed_before_it_joins_its_group_leaves_the_group_at_once() {
        let (control, count) = (StreamControl::new(Duration::from_secs(1)), Arc::<Count>::default());
        control.close_and_wake(CloseReason::Forced);
        let counted = count.clone();
        control.on_group_leave(Box::new(move |_| counted.wake()));
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
    }

    /// The server polls the body at the moment at which the body is found to have stalled.
    #[test]
    fn waiting_body_is_woken_when_the_stream_is_closed_and_its_waker_is_dropped() {
        let (control, count) = (StreamControl::new(Duration::from_secs(1)), Arc::<Count>::default());
        assert!(control.wakeups.register(&Waker::from(count.clone())));
        control.close_and_wake(CloseReason::SlowConsumer);
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert!(!control.wakeups.register(&Waker::from(count.clone())));
        assert_eq!(Arc::strong_count(&count), 1);
    }

    #[test]
    fn first_graceful_request_counts_and_an_immediate_one_replaces_it() {
        let control = StreamControl::new(Duration::from_secs(1));
        let request = |reason, is_graceful| EndRequest { reason, last_events: Vec::new(), is_graceful };
        let reason = || control.end_request().map(|request| request.reason);
        assert_eq!(reason(), None);
        control.request_end(request(CloseReason::Draining, true));
        control.request_end(request(CloseReason::Idle, true));
        assert_eq!(reason(), Some(CloseReason::Draining));
        control.request_end(request(CloseReason::Disconnected, false));
        assert_eq!(reason(), Some(CloseReason::Disconnected));
        control.close(CloseReason::ClientGone);
        control.close(CloseReason::Error);
        assert_eq!((control.close_reason(), reason()), (Some(CloseReason::ClientGone), Some(CloseReason::ClientGone)));
    }
}
