//! How the hub ends clients.

use ssekit_core::{EncodedEvent, Event, EventType};

use crate::close::{AfterEnd, CloseReason};
use crate::stream_control::{EndRequest, StreamControl};

/// The type of the event that tells a client the reason of a [disconnect](Disconnect::with_reason).
pub const DISCONNECT_EVENT_TYPE: &str = "ssekit:disconnect";

/// How the hub ends a client's stream.
///
/// ```
/// use futures_util::{FutureExt, StreamExt};
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
/// let how = Disconnect::new().with_reason("signed out").with_after_end(AfterEnd::Stop);
/// assert_eq!(hub.disconnect_key("user:42", &how), 1);
/// let chunk = body.next().await.unwrap()?;
/// assert_eq!(chunk, "event: ssekit:disconnect\ndata: signed out\n\nid: ssekit:done\n\n");
/// assert!(body.next().await.is_none());
/// assert_eq!((handle.close_reason(), hub.len()), (Some(CloseReason::Disconnected), 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }.now_or_never().unwrap().unwrap();
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Disconnect {
    reason: Option<EncodedEvent>,
    after_end: AfterEnd,
}

impl Disconnect {
    /// Ends the stream without a last event. The client reconnects.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a last event of type [`DISCONNECT_EVENT_TYPE`] with this text as its data.
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
}

pub(super) fn kick(control: &StreamControl, how: &Disconnect) {
    let last_events = how.reason.clone().into_iter().chain(how.after_end.last_event()).collect();
    control.request_end(EndRequest { reason: CloseReason::Disconnected, last_events, is_graceful: false });
    // At once: a body that its server does not poll, since the client reads nothing, would keep its place.
    control.close_and_wake(CloseReason::Disconnected);
}
