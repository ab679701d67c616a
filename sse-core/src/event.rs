//! Events as a sender builds them.

use core::fmt;
use core::time::Duration;

use crate::lexer::FieldName;
use crate::message_event::MessageEvent;

/// An event type: one line of text, with no CR and no LF in it.
///
/// A sender that took any string here would let whoever chooses it end the line and write fields and events of their
/// own. So a value of this type is valid by construction:
///
/// ```
/// use ssekit_core::EventType;
///
/// let tick = EventType::new("tick")?;
/// assert_eq!(tick.as_str(), "tick");
///
/// let error = EventType::new("tick\rdata: forged").unwrap_err();
/// assert_eq!(error.to_string(), "event type has a carriage return (0x0d) at byte 4");
/// # Ok::<(), ssekit_core::InvalidValue>(())
/// ```
///
/// The empty type is valid, and arrives as `message`. For literals there is the macro
/// [`event_type!`](crate::event_type), which the compiler checks.
///
/// Source: WHATWG HTML, section 9.2.5, "Parsing an event stream".
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventType<'a>(&'a str);

/// An event's ID: one line of text, with no CR, no LF and no NUL in it.
///
/// A receiver ignores an ID with a NUL, and so could not resume from it. The empty ID is valid: it has the receiver
/// forget the last event ID.
///
/// ```
/// use ssekit_core::EventId;
///
/// assert_eq!(EventId::new("1790000000000-41")?.as_str(), "1790000000000-41");
/// assert_eq!(EventId::new("a\0").unwrap_err().position(), 1);
/// # Ok::<(), ssekit_core::InvalidValue>(())
/// ```
///
/// For literals there is the macro [`event_id!`](crate::event_id), which the compiler checks.
///
/// Source: WHATWG HTML, section 9.2.6, "Interpreting an event stream".
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId<'a>(&'a str);

/// A string is not an event type or not an ID: it has a byte that cannot stand there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InvalidValue {
    line: FieldName,
    byte: u8,
    position: usize,
}

impl InvalidValue {
    /// The field that the value was meant for: [`FieldName::Event`] or [`FieldName::Id`].
    pub const fn field(&self) -> FieldName {
        self.line
    }

    /// The byte: CR (13), LF (10) or NUL (0).
    pub const fn byte(&self) -> u8 {
        self.byte
    }

    /// Where it stands, counted in bytes from 0.
    pub const fn position(&self) -> usize {
        self.position
    }
}

impl fmt::Display for InvalidValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if matches!(self.line, FieldName::Id) { "id" } else { "event type" };
        let byte = match self.byte {
            b'\r' => "carriage return",
            b'\n' => "line feed",
            _ => "null character",
        };
        write!(f, "{what} has a {byte} (0x{:02x}) at byte {}", self.byte, self.position)
    }
}

impl core::error::Error for InvalidValue {}

/// The one check behind every constructor.
const fn check(line: FieldName, value: &str) -> Result<(), InvalidValue> {
    let bytes = value.as_bytes();
    let mut position = 0;
    while position < bytes.len() {
        let byte = bytes[position];
        if byte == b'\r' || byte == b'\n' || byte == 0 && matches!(line, FieldName::Id) {
            return Err(InvalidValue { line, byte, position });
        }
        position += 1;
    }
    Ok(())
}

/// What event types and IDs have in common.
macro_rules! one_line_value {
    ($Type:ident, $line:expr, $macro:literal) => {
        impl<'a> $Type<'a> {
            /// Checks `value`.
            ///
            /// # Errors
            ///
            /// [`InvalidValue`] with the byte that cannot stand there, and where it is.
            pub const fn new(value: &'a str) -> Result<Self, InvalidValue> {
                match check($line, value) {
                    Ok(()) => Ok(Self(value)),
                    Err(error) => Err(error),
                }
            }

            /// The text.
            pub const fn as_str(&self) -> &'a str {
                self.0
            }
        }

        impl $Type<'static> {
            /// A literal, checked by the compiler where a constant is being made.
            ///
            /// # Panics
            ///
            /// In a `const`, a value that is not valid does not compile. Anywhere else it panics, which is why
            #[doc = concat!("[`", $macro, "!`](crate::", $macro, ") is the better way to write this: it is always a `const`.")]
            pub const fn from_static(value: &'static str) -> Self {
                assert!(check($line, value).is_ok(), "value has a CR, an LF or a NUL");
                Self(value)
            }
        }

        impl<'a> TryFrom<&'a str> for $Type<'a> {
            type Error = InvalidValue;

            fn try_from(value: &'a str) -> Result<Self, InvalidValue> {
                Self::new(value)
            }
        }

        impl AsRef<str> for $Type<'_> {
            fn as_ref(&self) -> &str {
                self.0
            }
        }

        impl PartialEq<str> for $Type<'_> {
            fn eq(&self, other: &str) -> bool {
                self.0 == other
            }
        }

        impl PartialEq<&str> for $Type<'_> {
            fn eq(&self, other: &&str) -> bool {
                self.0 == *other
            }
        }

        impl fmt::Display for $Type<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.0)
            }
        }

        impl fmt::Debug for $Type<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.0, f)
            }
        }
    };
}

one_line_value!(EventType, FieldName::Event, "event_type");
one_line_value!(EventId, FieldName::Id, "event_id");

/// An [`EventType`] from a literal; one that is not valid does not compile.
///
/// ```
/// let tick = ssekit_core::event_type!("tick");
/// assert_eq!(tick, "tick");
/// ```
///
/// ```compile_fail
/// ssekit_core::event_type!("tick\ndata: forged");
/// ```
#[macro_export]
macro_rules! event_type {
    ($value:expr) => {
        const { $crate::EventType::from_static($value) }
    };
}

/// An [`EventId`] from a literal; one that is not valid does not compile.
///
/// ```
/// assert_eq!(ssekit_core::event_id!("0"), "0");
/// ```
///
/// ```compile_fail
/// ssekit_core::event_id!("0\0");
/// ```
#[macro_export]
macro_rules! event_id {
    ($value:expr) => {
        const { $crate::EventId::from_static($value) }
    };
}

/// A block of an event stream, as it is to stand on the wire: the `event` of the standard's ABNF.
///
/// Every field may be there or not. Nothing in any of them can break out of its line: the type and the ID have no line
/// break, and data and comment are split at theirs. So however the strings were come by, this is one event with this
/// type, this ID and this data.
///
/// With a comment alone it is a keep-alive; with an ID alone it moves the receiver's last event ID; only with data is it
/// dispatched there, as a [`MessageEvent`].
///
/// ```
/// use core::time::Duration;
/// use ssekit_core::{Event, EventId, event_type};
///
/// let event = Event::data("two\nlines")
///     .with_event_type(event_type!("note"))
///     .with_id(EventId::new("7")?)
///     .with_reconnection_time(Duration::from_secs(3));
/// assert_eq!(event.to_string(), "event: note\nid: 7\nretry: 3000\ndata: two\ndata: lines\n\n");
/// # Ok::<(), ssekit_core::InvalidValue>(())
/// ```
///
/// [`encode_to_slice`](Self::encode_to_slice), [`encode`](Self::encode), [`encode_to_writer`](Self::encode_to_writer) and
/// `Display` all write these same bytes, and [`encoded_len`](Self::encoded_len) counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[must_use]
pub struct Event<'a> {
    /// Text that receivers ignore, of any number of lines.
    pub comment: Option<&'a str>,
    /// The event type; `message` for a receiver if there is none.
    pub event_type: Option<EventType<'a>>,
    /// What the receiver's last event ID becomes.
    pub id: Option<EventId<'a>>,
    /// The `retry` field: how long the receiver waits before it reconnects. Written in whole milliseconds, rounded up,
    /// and at most 2^64 - 1 of them.
    pub reconnection_time: Option<Duration>,
    /// The data, of any number of lines: CRLF, CR and LF each end one, and arrive as LF. Empty data is data.
    pub data: Option<&'a str>,
}

impl<'a> Event<'a> {
    /// An event with nothing in it: a blank line.
    pub const fn new() -> Self {
        Self { comment: None, event_type: None, id: None, reconnection_time: None, data: None }
    }

    /// An event with this data.
    pub const fn data(data: &'a str) -> Self {
        Self::new().with_data(data)
    }

    /// A comment: on the wire and yet no event, which is what keeps a connection alive.
    ///
    /// ```
    /// assert_eq!(ssekit_core::Event::comment("still here").to_string(), ": still here\n\n");
    /// ```
    pub const fn comment(comment: &'a str) -> Self {
        Self::new().with_comment(comment)
    }

    /// The same event with this data.
    pub const fn with_data(mut self, data: &'a str) -> Self {
        self.data = Some(data);
        self
    }

    /// The same event with this comment.
    pub const fn with_comment(mut self, comment: &'a str) -> Self {
        self.comment = Some(comment);
        self
    }

    /// The same event with this type.
    pub const fn with_event_type(mut self, event_type: EventType<'a>) -> Self {
        self.event_type = Some(event_type);
        self
    }

    /// The same event with this ID.
    pub const fn with_id(mut self, id: EventId<'a>) -> Self {
        self.id = Some(id);
        self
    }

    /// The same event with this `retry`.
    #[doc(alias = "retry")]
    pub const fn with_reconnection_time(mut self, time: Duration) -> Self {
        self.reconnection_time = Some(time);
        self
    }
}

/// What was decoded, to be sent on. The type `message`, which is what an event without one has, is left out, and so is an
/// empty last event ID: a stream that resets its ID midway has to be told apart by the caller, and sent on
/// `with_id(event_id!(""))`.
impl<'a> TryFrom<MessageEvent<'a>> for Event<'a> {
    type Error = InvalidValue;

    /// # Errors
    ///
    /// [`InvalidValue`] when the event was not made by a decoder and its type or ID cannot stand on the wire.
    fn try_from(event: MessageEvent<'a>) -> Result<Self, InvalidValue> {
        let mut block = Self::data(event.data);
        if event.event_type != "message" {
            block.event_type = Some(EventType::new(event.event_type)?);
        }
        if !event.last_event_id.is_empty() {
            block.id = Some(EventId::new(event.last_event_id)?);
        }
        Ok(block)
    }
}
