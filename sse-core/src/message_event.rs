//! What a decoder gives and what is sent on.

/// An event as a decoder dispatches it: the standard's `MessageEvent`.
///
/// The strings are borrowed: from the chunk, as a rule, where the event lies whole in it, else from the decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MessageEvent<'a> {
    /// The event type: `message` unless the event has an `event` field that is not empty.
    pub event_type: &'a str,
    /// The data: the event's `data` lines, joined by LF.
    pub data: &'a str,
    /// The last event ID at the time: this event's, or the last one before it that had any; empty when there was none.
    pub last_event_id: &'a str,
}
