use std::convert::Infallible;

use ssekit_core::{EncodedEvent, Event, InvalidValue, ReceivedEvent, RelayEvent};

use crate::batch::Chunk;

/// What a stream of events may have as items: a [`EncodedEvent`], an [`Event`], a `Result` of one, or an [`ReceivedEvent`] or
/// [`RelayEvent`], which are what another event stream was decoded to.
///
/// Implement it for a type of your own to send its values as events; if its error is [`Infallible`], `Result<YourType, E>`
/// can be sent too.
///
/// ```
/// use futures_util::{Stream, StreamExt};
/// use ssekit_core::{Event, EncodedEvent, ReceivedEvent, StreamError};
/// use ssekit_server::EventBody;
///
/// /// Sends on what an `EventStream` decodes. An event over a limit is left out; it must not end the response.
/// fn relay<E>(
///     events: impl Stream<Item = Result<ReceivedEvent, StreamError<E>>>,
/// ) -> EventBody<impl Stream<Item = Result<EncodedEvent, E>>> {
///     EventBody::new(events.filter_map(|event| async {
///         match event {
///             Ok(event) => Event::try_from(&event).ok().map(|event| Ok(EncodedEvent::from(event))),
///             Err(StreamError::Transport(error)) => Some(Err(error)),
///             Err(_) => None,
///         }
///     }))
/// }
/// # let _ = relay::<()>(futures_util::stream::empty());
/// ```
pub trait IntoEvent {
    /// Why there is no event. It ends the stream.
    type Error;

    /// The event, encoded.
    ///
    /// # Errors
    ///
    /// The item is an error, or cannot be encoded.
    fn into_event(self) -> Result<EncodedEvent, Self::Error>;

    /// The same, into a chunk of several events. What has an [`Event`] spares an allocation and a copy by encoding it there.
    ///
    /// # Errors
    ///
    /// As those of [`into_event`](Self::into_event).
    fn write_to(self, chunk: Chunk<'_>) -> Result<(), Self::Error>
    where
        Self: Sized,
    {
        chunk.push(self.into_event()?);
        Ok(())
    }
}

impl IntoEvent for EncodedEvent {
    type Error = Infallible;

    fn into_event(self) -> Result<EncodedEvent, Infallible> {
        Ok(self)
    }
}

impl IntoEvent for Event<'_> {
    type Error = Infallible;

    fn into_event(self) -> Result<EncodedEvent, Infallible> {
        Ok(EncodedEvent::from(self))
    }

    fn write_to(self, chunk: Chunk<'_>) -> Result<(), Infallible> {
        chunk.encode(&self);
        Ok(())
    }
}

impl IntoEvent for ReceivedEvent {
    /// The type or the ID was changed to one that cannot stand on the wire.
    type Error = InvalidValue;

    fn into_event(self) -> Result<EncodedEvent, InvalidValue> {
        Event::try_from(&self).map(EncodedEvent::from)
    }

    fn write_to(self, chunk: Chunk<'_>) -> Result<(), InvalidValue> {
        chunk.encode(&Event::try_from(&self)?);
        Ok(())
    }
}

/// As the bytes that it came as.
impl IntoEvent for RelayEvent {
    type Error = Infallible;

    fn into_event(self) -> Result<EncodedEvent, Infallible> {
        Ok(EncodedEvent::from(self))
    }
}

impl<T: IntoEvent<Error = Infallible>, E> IntoEvent for Result<T, E> {
    type Error = E;

    fn into_event(self) -> Result<EncodedEvent, E> {
        self.map(|item| item.into_event().unwrap_or_else(|never| match never {}))
    }

    fn write_to(self, chunk: Chunk<'_>) -> Result<(), E> {
        self.map(|item| item.write_to(chunk).unwrap_or_else(|never| match never {}))
    }
}
