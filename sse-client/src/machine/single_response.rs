//! Streams that are received once, such as the answer of a language model.

use alloc::boxed::Box;

use ssekit_core::MessageEvent;

/// How a stream that is received once marks its end.
pub(crate) enum SingleResponse {
    /// By an event whose data is `[DONE]`, or by the end of the body. Most language models do so.
    DoneOrBodyEnd,
    /// By an event for which this returns true. The body must not end before it.
    Until(Box<dyn Fn(&MessageEvent<'_>) -> bool + Send + Sync>),
}

impl SingleResponse {
    /// Whether this event marks the end.
    pub(super) fn is_end_marker(&self, event: &MessageEvent<'_>) -> bool {
        match self {
            Self::DoneOrBodyEnd => event.data == "[DONE]",
            Self::Until(is_end_marker) => is_end_marker(event),
        }
    }
}
