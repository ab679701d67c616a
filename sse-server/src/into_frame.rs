use std::convert::Infallible;

use ssekit_core::{Event, Frame, InvalidValue, OwnedEvent, RelayEvent};

use crate::batch::Chunk;

/// What a stream of events may have as items: a [`Frame`], an [`Event`], a `Result` of one, or an [`OwnedEvent`] or
/// [`RelayEvent`], which are what another event stream was decoded to.
///
/// Implement it for a type of your own to send its values as events; if its error is [`Infallible`], `Result<YourType, E>`
/// can be sent too.
///
/// ```
/// use futures_util::{Stream, StreamExt};
/// use ssekit_core::{Event, Frame, OwnedEvent, StreamError};
/// use ssekit_server::EventBody;
///
/// /// Sends on what an `EventStream` decodes. An event over a limit is left out; it must not end the response.
/// fn relay<E>(
///     events: impl Stream<Item = Result<OwnedEvent, StreamError<E>>>,
/// ) -> EventBody<impl Stream<Item = Result<Frame, E>>> {
///     EventBody::new(events.filter_map(|event| async {
///         match event {
///             Ok(event) => Event::try_from(&event).ok().map(|event| Ok(Frame::from(event))),
///             Err(StreamError::Transport(error)) => Some(Err(error)),
///             Err(_) => None,
///         }
///     }))
/// }
/// # let _ = relay::<()>(futures_util::stream::empty());
/// ```
pub trait IntoFrame {
    /// Why there is no event. It ends the stream.
    type Error;

    /// The event, encoded.
    ///
    /// # Errors
    ///
    /// The item is an error, or cannot be encoded.
    fn into_frame(self) -> Result<Frame, Self::Error>;

    /// The same, into a chunk of several events. What has an [`Event`] spares an allocation and a copy by encoding it there.
    ///
    /// # Errors
    ///
    /// As those of [`into_frame`](Self::into_frame).
    fn write_to(self, chunk: Chunk<'_>) -> Result<(), Self::Error>
    where
        Self: Sized,
    {
        chunk.push(self.into_frame()?);
        Ok(())
    }
}

impl IntoFrame for Frame {
    type Error = Infallible;

    fn into_frame(self) -> Result<Frame, Infallible> {
        Ok(self)
    }
}

impl IntoFrame for Event<'_> {
    type Error = Infallible;

    fn into_frame(self) -> Result<Frame, Infallible> {
        Ok(Frame::from(self))
    }

    fn write_to(self, chunk: Chunk<'_>) -> Result<(), Infallible> {
        chunk.encode(&self);
        Ok(())
    }
}

impl IntoFrame for OwnedEvent {
    /// The type or the ID was changed to one that cannot stand on the wire.
    type Error = InvalidValue;

    fn into_frame(self) -> Result<Frame, InvalidValue> {
        Event::try_from(&self).map(Frame::from)
    }

    fn write_to(self, chunk: Chunk<'_>) -> Result<(), InvalidValue> {
        chunk.encode(&Event::try_from(&self)?);
        Ok(())
    }
}

/// As the bytes that it came as.
impl IntoFrame for RelayEvent {
    type Error = Infallible;

    fn into_frame(self) -> Result<Frame, Infallible> {
        Ok(Frame::from(self))
    }
}

impl<T: IntoFrame<Error = Infallible>, E> IntoFrame for Result<T, E> {
    type Error = E;

    fn into_frame(self) -> Result<Frame, E> {
        self.map(|item| item.into_frame().unwrap_or_else(|never| match never {}))
    }

    fn write_to(self, chunk: Chunk<'_>) -> Result<(), E> {
        self.map(|item| item.write_to(chunk).unwrap_or_else(|never| match never {}))
    }
}
