//! The public handle of one stream.

use std::fmt;
use std::sync::Arc;

use crate::close::{AfterEnd, CloseReason};
use crate::stream_control::{EndRequest, StreamControl};

/// Ends one open stream from elsewhere in the server, and tells why a stream is over.
///
/// An administrator ends a stream by its handle, or a newer stream of the same user ends the older one.
///
/// A handle does not keep the stream open. Two handles are equal if they belong to the same stream. A clone counts a
/// reference.
///
/// ```
/// use futures_util::{FutureExt, StreamExt, stream};
/// use ssekit_core::EncodedEvent;
/// use ssekit_server::{CloseReason, EventBody};
///
/// # async {
/// let mut body = EventBody::new(stream::pending::<EncodedEvent>());
/// let handle = body.handle();
/// assert_eq!(body.next().await.unwrap().unwrap(), ": \n\n");
///
/// handle.end();
/// assert!(body.next().await.is_none());
/// assert_eq!(handle.close_reason(), Some(CloseReason::Disconnected));
/// # }.now_or_never().unwrap();
/// ```
#[derive(Clone)]
pub struct StreamHandle(pub(crate) Arc<StreamControl>);

impl StreamHandle {
    /// Ends the stream at once. Events that the application has ready are not sent. The client may reconnect.
    pub fn end(&self) {
        self.end_with(AfterEnd::Reconnect);
    }

    /// Ends the stream at once, like [`end`](Self::end), and tells the client not to reconnect: see [`AfterEnd::Stop`].
    pub fn finish(&self) {
        self.end_with(AfterEnd::Stop);
    }

    fn end_with(&self, after_end: AfterEnd) {
        let last_events = after_end.last_event().into_iter().collect();
        self.0.request_end(EndRequest { reason: CloseReason::Disconnected, last_events, is_graceful: false });
    }

    /// Returns why the stream is over, or `None` while it is open.
    ///
    /// The callbacks of [`on_close`](Self::on_close) may still be running when this returns a reason.
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.0.close_reason()
    }

    /// Calls `callback` once when the stream is over, or at once if it is over already.
    ///
    /// See [`EventBody::on_close`](crate::EventBody::on_close).
    pub fn on_close(&self, callback: impl FnOnce(CloseReason) + Send + 'static) {
        self.0.on_close(Box::new(callback));
    }
}

impl PartialEq for StreamHandle {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for StreamHandle {}

impl fmt::Debug for StreamHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamHandle").field("close_reason", &self.close_reason()).finish_non_exhaustive()
    }
}
