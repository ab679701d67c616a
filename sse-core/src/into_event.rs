//! The values that can be sent as events.

use alloc::boxed::Box;

use crate::encoded_event::EncodedEvent;
use crate::event::Event;
use crate::message_event::MessageEvent;
use crate::received_event::ReceivedEvent;

/// An error of any type.
pub type BoxError = Box<dyn core::error::Error + Send + Sync>;

/// A value that can be sent as an event.
///
/// Streams, senders, hubs and keep-alives accept it. It is implemented for:
///
/// - [`Event`], [`EncodedEvent`], and references to them;
/// - `JsonData`, for values that implement `serde::Serialize`;
/// - received events: [`MessageEvent`], [`ReceivedEvent`] and `RelayEvent`;
/// - a `Result` of each of these.
///
/// Implement it for your own type, so that a stream of its values can be a response:
///
/// ```
/// use ssekit_core::{BoxError, EncodedEvent, Event, IntoEvent, event_type};
///
/// struct Price(u32);
///
/// impl IntoEvent for Price {
///     fn into_event(self) -> Result<EncodedEvent, BoxError> {
///         Event::data(self.0.to_string()).with_event_type(event_type!("price")).into_event()
///     }
/// }
///
/// assert_eq!(Price(17).into_event()?.as_bytes(), b"event: price\ndata: 17\n\n");
/// # Ok::<(), ssekit_core::BoxError>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent as an event",
    label = "this is not an event",
    note = "`Event::data(text)` sends text",
    note = "`ssekit::JsonData(value)` sends a value that implements `serde::Serialize`, and `stream.map(ssekit::JsonData)` a stream of them (the `Json` of a web framework is another type)",
    note = "implement `ssekit::IntoEvent` for a type of your own"
)]
pub trait IntoEvent: Sized {
    /// Encodes the value as one event.
    ///
    /// # Errors
    ///
    /// The reason why the value cannot be sent. The stream that sends it fails with this error.
    fn into_event(self) -> Result<EncodedEvent, BoxError>;

    /// Encodes the value into a chunk of events.
    ///
    /// The provided method copies the result of [`into_event`](Self::into_event). If your type builds an [`Event`],
    /// call [`EventChunk::encode`] instead: it saves an allocation and the copy.
    ///
    /// # Errors
    ///
    /// The errors of [`into_event`](Self::into_event). The chunk is then unchanged.
    fn encode_into(self, chunk: &mut EventChunk<'_>) -> Result<(), BoxError> {
        chunk.push(self.into_event()?);
        Ok(())
    }
}

/// A chunk of events that a response sends next.
///
/// [`IntoEvent::encode_into`] adds one event to it.
pub struct EventChunk<'a>(&'a mut dyn EventBuffer);

impl core::fmt::Debug for EventChunk<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("EventChunk").finish_non_exhaustive()
    }
}

impl<'a> EventChunk<'a> {
    /// Makes a chunk over a buffer.
    #[inline]
    pub fn new(buffer: &'a mut dyn EventBuffer) -> Self {
        Self(buffer)
    }

    /// Adds an encoded event.
    ///
    /// The bytes are shared if the event stays alone in its chunk, and copied otherwise.
    #[inline]
    pub fn push(&mut self, event: EncodedEvent) {
        self.0.push(event);
    }

    /// Encodes an event directly into the chunk.
    #[inline]
    pub fn encode(&mut self, event: &Event<'_>) {
        self.0.encode(event);
    }

    /// Returns the buffer.
    #[cfg(feature = "json")]
    pub(crate) fn buffer(&mut self) -> &mut dyn EventBuffer {
        self.0
    }
}

/// The buffer of an [`EventChunk`]. Response bodies implement it.
pub trait EventBuffer {
    /// Adds an encoded event.
    fn push(&mut self, event: EncodedEvent);

    /// Encodes an event and adds it.
    fn encode(&mut self, event: &Event<'_>) {
        self.push(EncodedEvent::from(event));
    }

    /// Returns the unused part of the buffer. The provided method returns an empty slice.
    fn room(&mut self) -> &mut [u8] {
        &mut []
    }

    /// Adds the first `len` bytes of the [room](Self::room). They are one event.
    fn advance(&mut self, len: usize) {
        debug_assert_eq!(len, 0, "the buffer has no room");
    }
}

impl IntoEvent for EncodedEvent {
    #[inline]
    fn into_event(self) -> Result<EncodedEvent, BoxError> {
        Ok(self)
    }
}

impl IntoEvent for &EncodedEvent {
    #[inline]
    fn into_event(self) -> Result<EncodedEvent, BoxError> {
        Ok(self.clone())
    }
}

impl IntoEvent for &Event<'_> {
    #[inline]
    fn into_event(self) -> Result<EncodedEvent, BoxError> {
        Ok(EncodedEvent::from(self))
    }

    #[inline]
    fn encode_into(self, chunk: &mut EventChunk<'_>) -> Result<(), BoxError> {
        chunk.encode(self);
        Ok(())
    }
}

/// Implements [`IntoEvent`] for types that convert to an [`Event`].
macro_rules! impl_by_event {
    ($($Type:ty: |$value:ident| $event:expr),*) => {$(
        impl IntoEvent for $Type {
            #[inline]
            fn into_event(self) -> Result<EncodedEvent, BoxError> {
                let $value = self;
                Ok(EncodedEvent::from(&$event))
            }

            #[inline]
            fn encode_into(self, chunk: &mut EventChunk<'_>) -> Result<(), BoxError> {
                let $value = self;
                chunk.encode(&$event);
                Ok(())
            }
        }
    )*};
}

impl_by_event!(
    Event<'_>: |event| event,
    MessageEvent<'_>: |event| Event::try_from(event)?,
    ReceivedEvent: |event| Event::try_from(&event)?,
    &ReceivedEvent: |event| Event::try_from(event)?
);

/// Sends the value, or fails with the error.
impl<T: IntoEvent, E: Into<BoxError>> IntoEvent for Result<T, E> {
    #[inline]
    fn into_event(self) -> Result<EncodedEvent, BoxError> {
        self.map_err(E::into)?.into_event()
    }

    #[inline]
    fn encode_into(self, chunk: &mut EventChunk<'_>) -> Result<(), BoxError> {
        self.map_err(E::into)?.encode_into(chunk)
    }
}
