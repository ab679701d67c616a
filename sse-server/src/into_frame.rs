use std::convert::Infallible;

use ssekit_core::{Event, Frame};

/// What a stream of events may have as items: a [`Frame`], an [`Event`], or a `Result` of one.
///
/// Implement it for a type of your own to send its values as events.
pub trait IntoFrame {
    /// Why there is no event. It ends the stream.
    type Error;

    /// The event, encoded.
    ///
    /// # Errors
    ///
    /// The item is an error, or cannot be encoded.
    fn into_frame(self) -> Result<Frame, Self::Error>;
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
}

impl<T: Into<Frame>, E> IntoFrame for Result<T, E> {
    type Error = E;

    fn into_frame(self) -> Result<Frame, E> {
        self.map(Into::into)
    }
}
