//! Event types and IDs. Their constructors check the text.

#[cfg(feature = "alloc")]
use alloc::{borrow::Cow, boxed::Box, string::String};
use core::fmt;

use crate::lexer::FieldName;
use crate::scan::Digits;
use crate::text::{Text, impl_by_text};

/// An event type: one line of text without CR or LF.
///
/// A line break in a type would end its line, and untrusted text could then add fields and events. So the
/// constructors check the text.
///
/// ```
/// use ssekit_core::EventType;
///
/// let tick = EventType::new("tick")?;
/// assert_eq!(tick.as_str(), "tick");
///
/// let error = EventType::new("tick\rdata: forged").unwrap_err();
/// assert_eq!(error.to_string(), "invalid event type: a carriage return (0x0d) at byte 4 is not allowed");
/// # Ok::<(), ssekit_core::InvalidValue>(())
/// ```
///
/// The empty type is valid: receivers dispatch the event as `message`. The macro [`event_type!`](crate::event_type)
/// checks a literal at compile time.
///
/// Source: WHATWG HTML, section 9.2.5, "Parsing an event stream".
#[derive(Clone)]
pub struct EventType<'a>(Text<'a>);

/// The ID of an event: one line of text without CR, LF or NUL.
///
/// Receivers ignore an ID with a NUL, so a client could not resume from it. The empty ID is valid: the receiver then
/// forgets its last event ID.
///
/// ```
/// use ssekit_core::EventId;
///
/// assert_eq!(EventId::new("1790000000000-41")?.as_str(), "1790000000000-41");
/// assert_eq!(EventId::from(-7).as_str(), "-7");
/// assert_eq!(EventId::new("a\0").unwrap_err().position(), 1);
/// # Ok::<(), ssekit_core::InvalidValue>(())
/// ```
///
/// An integer is stored as digits and needs no allocator. The macro [`event_id!`](crate::event_id) checks a literal
/// at compile time.
///
/// Source: WHATWG HTML, section 9.2.6, "Interpreting an event stream".
#[derive(Clone)]
pub struct EventId<'a>(IdRepr<'a>);

#[derive(Clone)]
enum IdRepr<'a> {
    Borrowed(&'a str),
    // A `String` would make the enum 32 bytes instead of 24.
    #[cfg(feature = "alloc")]
    Owned(Box<str>),
    Digits(Digits),
}

/// Text that is not a valid event type or ID.
///
/// It contains a byte that would end the line, or for which receivers ignore the ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InvalidValue {
    field: FieldName,
    byte: u8,
    position: usize,
}

impl InvalidValue {
    /// Returns the intended field: [`FieldName::Event`] or [`FieldName::Id`].
    pub const fn field(&self) -> FieldName {
        self.field
    }

    /// Returns the byte that is not allowed: CR (13), LF (10) or NUL (0).
    pub const fn byte(&self) -> u8 {
        self.byte
    }

    /// Returns the position of the invalid byte, counted in bytes from 0.
    pub const fn position(&self) -> usize {
        self.position
    }
}

impl fmt::Display for InvalidValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = if matches!(self.field, FieldName::Id) { "event ID" } else { "event type" };
        let byte = match self.byte {
            b'\r' => "carriage return",
            b'\n' => "line feed",
            _ => "null character",
        };
        write!(f, "invalid {value}: a {byte} (0x{:02x}) at byte {} is not allowed", self.byte, self.position)
    }
}

impl core::error::Error for InvalidValue {}

/// Checks a value for the first byte that is not allowed. All constructors call it.
const fn check(field: FieldName, value: &str) -> Result<(), InvalidValue> {
    let bytes = value.as_bytes();
    let mut position = 0;
    while position < bytes.len() {
        let byte = bytes[position];
        if byte == b'\r' || byte == b'\n' || byte == 0 && matches!(field, FieldName::Id) {
            return Err(InvalidValue { field, byte, position });
        }
        position += 1;
    }
    Ok(())
}

impl<'a> EventType<'a> {
    /// Checks text, borrowed or owned. It copies nothing.
    ///
    /// # Errors
    ///
    /// [`InvalidValue`] with the position of the first CR or LF.
    pub fn new(value: impl Into<Text<'a>>) -> Result<Self, InvalidValue> {
        let value = value.into();
        check(FieldName::Event, &value)?;
        Ok(Self(value))
    }

    /// Returns the text.
    #[inline]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Copies a borrowed type, so that the value borrows nothing. An owned type is moved.
    #[cfg(feature = "alloc")]
    pub fn into_owned(self) -> EventType<'static> {
        EventType(self.0.into_owned())
    }
}

impl EventType<'static> {
    /// Checks a literal: in a `const` at compile time, elsewhere at run time.
    ///
    /// # Panics
    ///
    /// Panics if the value is invalid. In a `const`, this is a compile error. The macro
    /// [`event_type!`](crate::event_type) always uses a `const`.
    pub const fn from_static(value: &'static str) -> Self {
        assert!(check(FieldName::Event, value).is_ok(), "invalid event type: it holds a CR or an LF");
        Self(Text::borrowed(value))
    }
}

impl<'a> EventId<'a> {
    /// Checks text, borrowed or owned. An integer needs no check: see [`IntoEventId`].
    ///
    /// Borrowed text is not copied. A `String` with unused capacity is reallocated.
    ///
    /// # Errors
    ///
    /// [`InvalidValue`] with the position of the first CR, LF or NUL.
    pub fn new(value: impl Into<Text<'a>>) -> Result<Self, InvalidValue> {
        let value = value.into();
        check(FieldName::Id, &value)?;
        Ok(Self::unchecked(value))
    }

    /// Makes an ID from checked text.
    fn unchecked(value: Text<'a>) -> Self {
        Self(match value.into_repr() {
            Ok(text) => IdRepr::Borrowed(text),
            #[cfg(feature = "alloc")]
            Err(text) => IdRepr::Owned(text.into_boxed_str()),
            #[cfg(not(feature = "alloc"))]
            Err(never) => match never {},
        })
    }

    /// Returns the text.
    #[inline]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            IdRepr::Borrowed(text) => text,
            #[cfg(feature = "alloc")]
            IdRepr::Owned(text) => text,
            IdRepr::Digits(digits) => digits.as_str(),
        }
    }

    /// Copies a borrowed ID, so that the value borrows nothing. Owned IDs and integers are moved.
    #[cfg(feature = "alloc")]
    pub fn into_owned(self) -> EventId<'static> {
        EventId(match self.0 {
            IdRepr::Borrowed(text) => IdRepr::Owned(text.into()),
            IdRepr::Owned(text) => IdRepr::Owned(text),
            IdRepr::Digits(digits) => IdRepr::Digits(digits),
        })
    }
}

impl EventId<'static> {
    /// Checks a literal: in a `const` at compile time, elsewhere at run time.
    ///
    /// # Panics
    ///
    /// Panics if the value is invalid. In a `const`, this is a compile error. The macro
    /// [`event_id!`](crate::event_id) always uses a `const`.
    pub const fn from_static(value: &'static str) -> Self {
        assert!(check(FieldName::Id, value).is_ok(), "invalid event ID: it holds a CR, an LF or a NUL");
        Self(IdRepr::Borrowed(value))
    }
}

impl_by_text!(EventType);
impl_by_text!(EventId);

/// Implements the checked conversions from text.
macro_rules! impl_try_from_text {
    ($Type:ident) => {
        impl<'a> TryFrom<&'a str> for $Type<'a> {
            type Error = InvalidValue;

            fn try_from(value: &'a str) -> Result<Self, InvalidValue> {
                Self::new(value)
            }
        }

        #[cfg(feature = "alloc")]
        impl TryFrom<String> for $Type<'_> {
            type Error = InvalidValue;

            fn try_from(value: String) -> Result<Self, InvalidValue> {
                Self::new(value)
            }
        }

        #[cfg(feature = "alloc")]
        impl<'a> TryFrom<Cow<'a, str>> for $Type<'a> {
            type Error = InvalidValue;

            fn try_from(value: Cow<'a, str>) -> Result<Self, InvalidValue> {
                Self::new(value)
            }
        }
    };
}

impl_try_from_text!(EventType);
impl_try_from_text!(EventId);

/// A value that is always a valid event type.
///
/// [`Event::with_event_type`](crate::Event::with_event_type) accepts it. Implement it for your own enum.
///
/// Implement it for any lifetime, `IntoEventType<'_>`. An implementation for `'static` only does not fit an event
/// that borrows its data.
///
/// ```
/// use ssekit_core::{Event, EventType, IntoEventType, event_type};
///
/// enum Kind {
///     Price,
///     News,
/// }
///
/// impl IntoEventType<'_> for Kind {
///     fn into_event_type(self) -> EventType<'static> {
///         match self {
///             Kind::Price => event_type!("price"),
///             Kind::News => event_type!("news"),
///         }
///     }
/// }
///
/// assert_eq!(Event::data("17").with_event_type(Kind::Price).to_string(), "event: price\ndata: 17\n\n");
/// # let _ = Kind::News;
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event type that is always valid",
    label = "may hold a line break, which would end the `event` line",
    note = "the compiler checks a literal: `.with_event_type(event_type!(\"news\"))`",
    note = "text is checked at run time: `.with_event_type(EventType::new(text)?)`"
)]
pub trait IntoEventType<'a> {
    /// Returns the event type.
    fn into_event_type(self) -> EventType<'a>;
}

impl<'a> IntoEventType<'a> for EventType<'a> {
    #[inline]
    fn into_event_type(self) -> EventType<'a> {
        self
    }
}

impl<'a> IntoEventType<'a> for &'a EventType<'_> {
    #[inline]
    fn into_event_type(self) -> EventType<'a> {
        EventType(Text::borrowed(self.as_str()))
    }
}

/// A value that is always a valid ID: an integer, an [`EventId`], or your own type.
///
/// [`Event::with_id`](crate::Event::with_id) accepts it. Implement it for any lifetime, `IntoEventId<'_>`, as
/// [`IntoEventType`].
///
/// ```
/// use ssekit_core::{Event, EventId, IntoEventId};
///
/// struct OrderId(u64);
///
/// impl<'a> IntoEventId<'a> for OrderId {
///     fn into_event_id(self) -> EventId<'a> {
///         self.0.into_event_id()
///     }
/// }
///
/// assert_eq!(Event::data("paid").with_id(OrderId(41)).to_string(), "id: 41\ndata: paid\n\n");
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event ID that is always valid",
    label = "may hold a line break, which would end the `id` line",
    note = "integers are IDs as they are: `.with_id(42)`",
    note = "the compiler checks a literal: `.with_id(event_id!(\"a-1\"))`",
    note = "text is checked at run time: `.with_id(EventId::new(text)?)`"
)]
pub trait IntoEventId<'a> {
    /// Returns the ID.
    fn into_event_id(self) -> EventId<'a>;
}

impl<'a> IntoEventId<'a> for EventId<'a> {
    #[inline]
    fn into_event_id(self) -> EventId<'a> {
        self
    }
}

impl<'a> IntoEventId<'a> for &'a EventId<'_> {
    #[inline]
    fn into_event_id(self) -> EventId<'a> {
        EventId(IdRepr::Borrowed(self.as_str()))
    }
}

/// Makes integers IDs. Each type has its own impl, because a blanket impl would hide the message above.
macro_rules! impl_integer_ids {
    ($($Int:ident as $Wide:ident by $digits:ident),*) => {$(
        impl<'a> IntoEventId<'a> for $Int {
            #[inline]
            fn into_event_id(self) -> EventId<'a> {
                EventId(IdRepr::Digits(Digits::$digits(self as $Wide)))
            }
        }

        impl From<$Int> for EventId<'_> {
            #[inline]
            fn from(number: $Int) -> Self {
                number.into_event_id()
            }
        }
    )*};
}

impl_integer_ids!(
    u8 as u64 by unsigned,
    u16 as u64 by unsigned,
    u32 as u64 by unsigned,
    u64 as u64 by unsigned,
    usize as u64 by unsigned,
    i8 as i64 by signed,
    i16 as i64 by signed,
    i32 as i64 by signed,
    i64 as i64 by signed,
    isize as i64 by signed
);

/// Makes an [`EventType`](crate::EventType) from a literal, checked at compile time.
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

/// Makes an [`EventId`](crate::EventId) from a literal, checked at compile time.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "alloc")]
    #[test]
    fn optional_values_have_the_size_of_a_string() {
        assert_eq!(size_of::<Option<EventType<'_>>>(), 24);
        assert_eq!(size_of::<Option<EventId<'_>>>(), 24);
        assert_eq!(size_of::<Option<Text<'_>>>(), 24);
    }
}
