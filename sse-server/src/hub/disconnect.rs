//! How the hub ends clients.

use ssekit_core::{EncodedEvent, Event, EventType};

use crate::close::{AfterEnd, CloseReason};
use crate::stream_control::{EndRequest, StreamControl};

/// The type of the event that tells a client the reason of a [disconnect](Disconnect::with_reason).
pub const DISCONNECT_EVENT_TYPE: &str = "ssekit:disconnect";

/// How the hub disconnects clients.
///
/// By default a client first receives the events that are already published, then the reason, then the end of its stream.
/// It is no longer listed or counted from the call on, so its place is free. A client that makes no progress for its stall
/// timeout ([`DEFAULT_STALL_TIMEOUT`](crate::DEFAULT_STALL_TIMEOUT) unless its body sets one) is closed without the rest.
///
/// An event counts as published when it is in the [`RecentEvents`](super::RecentEvents) of this process. With `RedisLog`,
/// that is shortly after `publish(..).await` returns: wait until [`Hub::position`](super::Hub::position) has reached the
/// event's position.
///
/// ```
/// use futures_util::{FutureExt, StreamExt};
/// use ssekit_core::Event;
/// use ssekit_server::hub::{Disconnect, Hub, Subscribe};
/// use ssekit_server::{AfterEnd, CloseReason};
///
/// # async {
/// let hub = Hub::default();
/// let subscription = hub.subscribe(Subscribe::topic("news").with_key("user:42"))?;
/// let handle = subscription.handle();
/// let mut body = subscription.into_body();
/// body.next().await;
///
/// let last = hub.publish("news", Event::data("last")).await?;
/// let how = Disconnect::new().with_reason("signed out").with_after_end(AfterEnd::Stop);
/// assert_eq!(hub.disconnect_key("user:42", &how), 1);
/// assert_eq!(hub.len(), 0);
/// assert_eq!(body.next().await.unwrap()?, format!("id: {last}\ndata: last\n\n"));
/// let end = body.next().await.unwrap()?;
/// assert_eq!(end, "event: ssekit:disconnect\ndata: signed out\n\nid: ssekit:done\n\n");
/// assert!(body.next().await.is_none());
/// assert_eq!(handle.close_reason(), Some(CloseReason::Disconnected));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }.now_or_never().unwrap().unwrap();
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Disconnect {
    reason: Option<EncodedEvent>,
    after_end: AfterEnd,
    pub(super) is_immediate: bool,
}

impl Disconnect {
    /// Ends streams after the events that are already published. The clients reconnect.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a last event of type [`DISCONNECT_EVENT_TYPE`] with this text as its data (default: none).
    pub fn with_reason(mut self, reason: &str) -> Self {
        let event_type = EventType::new(DISCONNECT_EVENT_TYPE).ok();
        self.reason = Some(EncodedEvent::from(Event { event_type, ..Event::data(reason) }));
        self
    }

    /// Sets what the client does after the end (default: it reconnects).
    pub fn with_after_end(mut self, after_end: AfterEnd) -> Self {
        self.after_end = after_end;
        self
    }

    /// Ends streams at once, without the events that are already published and not yet delivered.
    ///
    /// The [reason](Self::with_reason) and the mark of [`AfterEnd::Stop`] are still sent to a client that reads.
    ///
    /// Use it when a client must not receive them, for example when a right is revoked. It also ends clients at once that an
    /// earlier call is about to end.
    ///
    /// ```
    /// use futures_util::{FutureExt, StreamExt};
    /// use ssekit_core::Event;
    /// use ssekit_server::hub::{Disconnect, Hub, Subscribe};
    ///
    /// # async {
    /// let hub = Hub::default();
    /// let mut body = hub.subscribe(Subscribe::topic("news").with_key("user:42"))?.into_body();
    /// body.next().await;
    /// hub.publish("news", Event::data("secret")).await?;
    /// assert_eq!(hub.disconnect_key("user:42", &Disconnect::new().immediately()), 1);
    /// assert!(body.next().await.is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }.now_or_never().unwrap().unwrap();
    /// ```
    pub fn immediately(mut self) -> Self {
        self.is_immediate = true;
        self
    }

    pub(super) fn request(&self) -> EndRequest {
        let last_events = self.reason.clone().into_iter().chain(self.after_end.last_event()).collect();
        EndRequest { reason: CloseReason::Disconnected, last_events, is_graceful: false }
    }
}

/// Closes a stream without the events that its client has not read.
///
/// The stream is closed here and not by its body: a server whose client does not read does not poll the body.
pub(super) fn close_now(control: &StreamControl, request: EndRequest) {
    let reason = request.reason;
    control.request_end(request);
    control.close_and_wake(reason);
}
