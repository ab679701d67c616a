//! The connection to the server: a request that is being sent, or a body that is being read.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use http::header::{CONTENT_ENCODING, CONTENT_LOCATION, CONTENT_TYPE, LINK, LOCATION, REFRESH, SET_COOKIE};
use http::{HeaderMap, HeaderName, response};
use http_body::Body as _;
use reqwest::Body;
use sync_wrapper::SyncWrapper;

use super::chunk::ReceivedChunk;
use crate::client_error::BoxError;
use crate::machine::{Failure, ResponseHead};
use crate::request::SendingRequest;
use crate::retry_after::parse_retry_after;

/// The connection of the current attempt.
///
/// ```text
///  None --- SendRequest ---> Sending --- head ---> Receiving
///   ^                           |                      |
///   +---- error, disconnect ----+---- end, error, -----+
///                                     disconnect
/// ```
pub(super) enum Connection {
    /// No request is under way, and no body is open.
    None,
    /// The request is being sent, or the head of the response is awaited.
    Sending(SyncWrapper<SendingRequest>),
    /// The body of the response is being read.
    Receiving(Body),
}

/// Something that the server sent, or an error instead of it.
pub(super) enum Received {
    /// The head of the response.
    Head(Box<response::Parts>),
    /// A chunk of the body, which replaces the one before it.
    Chunk,
    /// Trailers, which have no meaning for an event stream.
    Trailers,
    /// The end of the body.
    End,
    /// The connection failed.
    Failure(Failure, BoxError),
}

impl Connection {
    pub(super) fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// Waits for the server; for ever without a connection. A chunk goes to `chunk`, to be moved only once.
    #[inline(always)]
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, chunk: &mut ReceivedChunk) -> Poll<Received> {
        match self {
            Self::None => Poll::Pending,
            Self::Sending(sending) => match ready!(sending.get_mut().as_mut().poll(cx)) {
                Ok(response) => {
                    let (head, body) = http::Response::from(response).into_parts();
                    *self = Self::Receiving(body);
                    Poll::Ready(Received::Head(Box::new(head)))
                }
                Err((failure, source)) => self.fail(failure, source),
            },
            Self::Receiving(body) => match ready!(Pin::new(body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        chunk.set(data);
                        Poll::Ready(Received::Chunk)
                    }
                    Err(_) => Poll::Ready(Received::Trailers),
                },
                Some(Err(error)) => self.fail(Failure::Interrupted, error.without_url().into()),
                None => {
                    *self = Self::None;
                    Poll::Ready(Received::End)
                }
            },
        }
    }

    fn fail(&mut self, failure: Failure, source: BoxError) -> Poll<Received> {
        *self = Self::None;
        Poll::Ready(Received::Failure(failure, source))
    }
}

/// The values of header fields for a [`ResponseHead`], which borrows them.
pub(super) struct HeadValues {
    content_type: Option<Vec<u8>>,
    content_encoding: Option<Vec<u8>>,
}

impl HeadValues {
    pub(super) fn new(headers: &HeaderMap) -> Self {
        Self {
            content_type: joined_values(headers, CONTENT_TYPE),
            // reqwest removes this field when it decodes the body.
            content_encoding: joined_values(headers, CONTENT_ENCODING),
        }
    }

    pub(super) fn head<'a>(&'a self, parts: &'a response::Parts) -> ResponseHead<'a> {
        ResponseHead {
            status: parts.status.as_u16(),
            content_type: self.content_type.as_deref(),
            location: parts.headers.get(LOCATION).map(|value| value.as_bytes()),
            content_encoding: self.content_encoding.as_deref(),
            retry_after: parse_retry_after(&parts.headers),
        }
    }
}

/// Returns all values of a header field, joined by commas.
fn joined_values(headers: &HeaderMap, name: HeaderName) -> Option<Vec<u8>> {
    let values: Vec<_> = headers.get_all(name).iter().map(|value| value.as_bytes()).collect();
    Some(values.join(&b", "[..])).filter(|_| !values.is_empty())
}

/// Marks response header fields that may be secret, so that `Debug` does not show them.
pub(super) fn mark_secrets(headers: &mut HeaderMap) {
    for (name, value) in headers {
        value.set_sensitive([CONTENT_LOCATION, LINK, LOCATION, REFRESH, SET_COOKIE].contains(name));
    }
}
