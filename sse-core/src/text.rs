//! The text of an event, borrowed or owned.

#[cfg(feature = "alloc")]
use alloc::{borrow::Cow, boxed::Box, string::String};
use core::ops::Deref;

/// Text that an [`Event`](crate::Event) borrows or owns.
///
/// Methods that take text have a parameter `impl Into<Text>`. It accepts a `&str`, and with the feature `alloc` also
/// a `String`, a `Box<str>` or a `Cow<str>`. The conversion copies nothing.
///
/// It is a `str` by `Deref`, and has the size of a `String`.
///
/// ```
/// use ssekit_core::Text;
///
/// let borrowed = Text::from("hi");
/// # #[cfg(feature = "alloc")] {
/// let owned = Text::from(format!("h{}", 'i'));
/// assert_eq!(borrowed, owned);
/// # }
/// assert_eq!(borrowed.len(), 2);
/// ```
#[derive(Clone)]
pub struct Text<'a>(Repr<'a>);

#[derive(Clone)]
enum Repr<'a> {
    Borrowed(&'a str),
    #[cfg(feature = "alloc")]
    Owned(String),
}

impl<'a> Text<'a> {
    /// Borrows text. It can be used in constants.
    ///
    /// ```
    /// use ssekit_core::{Event, Text};
    ///
    /// const PING: Event<'static> = Event { comment: Some(Text::borrowed("ping")), ..Event::EMPTY };
    /// assert_eq!(PING.to_string(), ": ping\n\n");
    /// ```
    pub const fn borrowed(text: &'a str) -> Self {
        Self(Repr::Borrowed(text))
    }

    /// Returns the text.
    #[inline(always)]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Repr::Borrowed(text) => text,
            #[cfg(feature = "alloc")]
            Repr::Owned(text) => text,
        }
    }

    /// Returns the borrowed text, or else the `String`.
    #[cfg(feature = "alloc")]
    pub(crate) fn into_repr(self) -> Result<&'a str, String> {
        match self.0 {
            Repr::Borrowed(text) => Ok(text),
            Repr::Owned(text) => Err(text),
        }
    }

    /// Returns the borrowed text. Without an allocator, all text is borrowed.
    #[cfg(not(feature = "alloc"))]
    pub(crate) fn into_repr(self) -> Result<&'a str, core::convert::Infallible> {
        let Repr::Borrowed(text) = self.0;
        Ok(text)
    }

    /// Copies borrowed text, so that the value borrows nothing. Owned text is moved.
    #[cfg(feature = "alloc")]
    pub fn into_owned(self) -> Text<'static> {
        Text(Repr::Owned(self.into_string()))
    }

    /// Returns the text as a `String`. Borrowed text is copied, owned text is moved.
    #[cfg(feature = "alloc")]
    pub fn into_string(self) -> String {
        match self.0 {
            Repr::Borrowed(text) => text.into(),
            Repr::Owned(text) => text,
        }
    }
}

impl Default for Text<'_> {
    /// Returns the empty text.
    fn default() -> Self {
        Self::borrowed("")
    }
}

impl Deref for Text<'_> {
    type Target = str;

    #[inline(always)]
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl<'a> From<&'a str> for Text<'a> {
    #[inline]
    fn from(text: &'a str) -> Self {
        Self::borrowed(text)
    }
}

/// Accepts the items of an iterator over `&str` in a closure that takes a reference.
impl<'a> From<&&'a str> for Text<'a> {
    #[inline]
    fn from(text: &&'a str) -> Self {
        Self::borrowed(text)
    }
}

impl<'a> From<&'a Text<'_>> for Text<'a> {
    #[inline]
    fn from(text: &'a Text<'_>) -> Self {
        Self::borrowed(text)
    }
}

#[cfg(feature = "alloc")]
impl<'a> From<&'a String> for Text<'a> {
    #[inline]
    fn from(text: &'a String) -> Self {
        Self::borrowed(text)
    }
}

#[cfg(feature = "alloc")]
impl<'a> From<&'a Box<str>> for Text<'a> {
    #[inline]
    fn from(text: &'a Box<str>) -> Self {
        Self::borrowed(text)
    }
}

#[cfg(feature = "alloc")]
impl<'a> From<&'a Cow<'_, str>> for Text<'a> {
    #[inline]
    fn from(text: &'a Cow<'_, str>) -> Self {
        Self::borrowed(text)
    }
}

#[cfg(feature = "alloc")]
impl From<String> for Text<'_> {
    #[inline]
    fn from(text: String) -> Self {
        Self(Repr::Owned(text))
    }
}

#[cfg(feature = "alloc")]
impl From<Box<str>> for Text<'_> {
    #[inline]
    fn from(text: Box<str>) -> Self {
        Self(Repr::Owned(text.into()))
    }
}

#[cfg(feature = "alloc")]
impl<'a> From<Cow<'a, str>> for Text<'a> {
    #[inline]
    fn from(text: Cow<'a, str>) -> Self {
        match text {
            Cow::Borrowed(text) => Self::borrowed(text),
            Cow::Owned(text) => Self(Repr::Owned(text)),
        }
    }
}

#[cfg(feature = "alloc")]
impl From<Text<'_>> for String {
    fn from(text: Text<'_>) -> Self {
        text.into_string()
    }
}

/// Implements comparison, hashing and formatting by the text of a type.
macro_rules! impl_by_text {
    ($Type:ident) => {
        impl AsRef<str> for $Type<'_> {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl PartialEq for $Type<'_> {
            fn eq(&self, other: &Self) -> bool {
                self.as_str() == other.as_str()
            }
        }

        impl Eq for $Type<'_> {}

        impl PartialEq<str> for $Type<'_> {
            fn eq(&self, other: &str) -> bool {
                self.as_str() == other
            }
        }

        impl PartialEq<&str> for $Type<'_> {
            fn eq(&self, other: &&str) -> bool {
                self.as_str() == *other
            }
        }

        impl PartialOrd for $Type<'_> {
            fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
                Some(self.cmp(other))
            }
        }

        impl Ord for $Type<'_> {
            fn cmp(&self, other: &Self) -> core::cmp::Ordering {
                self.as_str().cmp(other.as_str())
            }
        }

        impl core::hash::Hash for $Type<'_> {
            fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
                self.as_str().hash(state);
            }
        }

        impl core::fmt::Display for $Type<'_> {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl core::fmt::Debug for $Type<'_> {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                core::fmt::Debug::fmt(self.as_str(), f)
            }
        }
    };
}

pub(crate) use impl_by_text;

impl_by_text!(Text);
