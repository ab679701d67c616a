//! Events to send.

use core::time::Duration;

use crate::message_event::MessageEvent;
use crate::text::Text;
use crate::values::{EventId, EventType, IntoEventId, IntoEventType, InvalidValue};

/// An event to send: one block of an event stream.
///
/// Each field is optional, and borrows or owns its text. With owned text, a closure can return an event.
///
/// Text cannot forge fields or events, whatever it contains. The type and the ID have no line breaks, and data and
/// comments are split at theirs.
///
/// A receiver dispatches only an event with data, as a [`MessageEvent`]. An event with only a comment keeps a
/// connection alive. An event with only an ID changes the receiver's last event ID.
///
/// ```
/// use core::time::Duration;
/// use ssekit_core::{Event, event_type};
///
/// let event = Event::data("two\nlines")
///     .with_event_type(event_type!("note"))
///     .with_id(7)
///     .with_reconnection_time(Duration::from_secs(3));
/// assert_eq!(event.to_string(), "event: note\nid: 7\nretry: 3000\ndata: two\ndata: lines\n\n");
///
/// # #[cfg(feature = "alloc")] {
/// let events: Vec<Event<'static>> = (1..3).map(|n| Event::data(format!("{n} of 2")).with_id(n)).collect();
/// assert_eq!(events[1].to_string(), "id: 2\ndata: 2 of 2\n\n");
/// # }
/// ```
///
/// [`encode_to_slice`](Self::encode_to_slice), `encode`, `encode_to_writer` and `Display` write the same bytes.
/// [`encoded_len`](Self::encoded_len) counts them. Use [`EMPTY`](Self::EMPTY) in constants.
///
/// Source: WHATWG HTML, section 9.2.5, "Parsing an event stream".
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[must_use]
#[expect(clippy::exhaustive_structs, reason = "programs build it, and the standard has these five fields")]
pub struct Event<'a> {
    /// A comment, of any number of lines. Receivers ignore it.
    pub comment: Option<Text<'a>>,
    /// The event type. Without one, receivers dispatch the event as `message`.
    pub event_type: Option<EventType<'a>>,
    /// The ID, which becomes the receiver's last event ID.
    pub id: Option<EventId<'a>>,
    /// The `retry` field: the receiver's delay before it reconnects.
    ///
    /// It is written in milliseconds, rounded up, at most 2^64 - 1.
    pub reconnection_time: Option<Duration>,
    /// The data, of any number of lines. Empty data is data.
    ///
    /// CRLF, CR and LF each end a line. The receiver gets an LF for each.
    pub data: Option<Text<'a>>,
}

impl<'a> Event<'a> {
    /// An event without fields, for constants such as `Event { data: Some(..), ..Event::EMPTY }`.
    ///
    /// It is encoded as a blank line.
    // A literal, because the compiler does not see that the result of a function needs no destructor.
    pub const EMPTY: Self = Self { comment: None, event_type: None, id: None, reconnection_time: None, data: None };

    /// Makes an event without fields.
    #[inline]
    pub const fn new() -> Self {
        Self::EMPTY
    }

    /// Makes an event with data: a `&str`, `String`, `Cow<str>` or received text.
    #[inline]
    pub fn data(data: impl Into<Text<'a>>) -> Self {
        Self { data: Some(data.into()), ..Self::new() }
    }

    /// Makes a comment. It keeps a connection alive, and receivers ignore it.
    ///
    /// ```
    /// assert_eq!(ssekit_core::Event::comment("still here").to_string(), ": still here\n\n");
    /// ```
    #[inline]
    pub fn comment(comment: impl Into<Text<'a>>) -> Self {
        Self { comment: Some(comment.into()), ..Self::new() }
    }

    /// Sets the data.
    #[inline]
    pub fn with_data(mut self, data: impl Into<Text<'a>>) -> Self {
        self.data = Some(data.into());
        self
    }

    /// Sets the comment.
    #[inline]
    pub fn with_comment(mut self, comment: impl Into<Text<'a>>) -> Self {
        self.comment = Some(comment.into());
        self
    }

    /// Sets the event type, for example `event_type!("news")` or `EventType::new(text)?`.
    ///
    /// A type of your own can implement [`IntoEventType`].
    #[inline]
    #[doc(alias = "event")]
    pub fn with_event_type(mut self, event_type: impl IntoEventType<'a>) -> Self {
        self.event_type = Some(event_type.into_event_type());
        self
    }

    /// Sets the ID: an integer, an [`EventId`], or any [`IntoEventId`].
    #[inline]
    #[doc(alias = "id")]
    pub fn with_id(mut self, id: impl IntoEventId<'a>) -> Self {
        self.id = Some(id.into_event_id());
        self
    }

    /// Sets the `retry` field: the receiver's delay before it reconnects.
    #[inline]
    #[doc(alias = "retry")]
    pub fn with_reconnection_time(mut self, time: Duration) -> Self {
        self.reconnection_time = Some(time);
        self
    }

    /// Copies borrowed text, so that the event borrows nothing. Owned text is moved.
    ///
    /// ```
    /// use ssekit_core::Event;
    ///
    /// let line = String::from("from a buffer");
    /// let event: Event<'static> = Event::data(&line).into_owned();
    /// drop(line);
    /// assert_eq!(event.to_string(), "data: from a buffer\n\n");
    /// ```
    #[cfg(feature = "alloc")]
    pub fn into_owned(self) -> Event<'static> {
        Event {
            comment: self.comment.map(Text::into_owned),
            event_type: self.event_type.map(EventType::into_owned),
            id: self.id.map(EventId::into_owned),
            reconnection_time: self.reconnection_time,
            data: self.data.map(Text::into_owned),
        }
    }
}

/// Makes an event to send from a received event.
///
/// The type `message` and an empty last event ID are left out. So a stream that resets its ID looks like one without
/// IDs. A relay that must distinguish them adds `.with_id(event_id!(""))`.
impl<'a> TryFrom<MessageEvent<'a>> for Event<'a> {
    type Error = InvalidValue;

    /// # Errors
    ///
    /// [`InvalidValue`] when the type or the ID is invalid. Those of a decoded event are always valid.
    fn try_from(received: MessageEvent<'a>) -> Result<Self, InvalidValue> {
        let mut event = Self::data(received.data);
        if received.event_type != "message" {
            event.event_type = Some(EventType::new(received.event_type)?);
        }
        if !received.last_event_id.is_empty() {
            event.id = Some(EventId::new(received.last_event_id)?);
        }
        Ok(event)
    }
}
