//! Server-sent events for any HTTP server: what stands between a stream of events and a connection.
//!
//! It knows no framework. [`EventBody`] is an [`http_body::Body`] and a `Stream` of `Bytes`; the adapters (`ssekit-axum`,
//! `ssekit-actix`) make it their framework's response, and do little else.
//!
//! # Overview
//!
//! - [`EventBody`] takes any `Stream` of events and hands over, at once, all that is ready as one chunk. It starts with a
//!   preamble and keeps an idle connection alive.
//! - [`EventBody::channel`] and [`EventBody::from_fn`] are the other two ways to write one: by a [`Sender`] from anywhere,
//!   and by a callback.
//! - A stream ends for a [`CloseReason`], which [`EventBody::on_close`] tells: by itself, for good if it says
//!   [`AfterEnd::Stop`]; by a timeout; by a [`StreamHandle`]; because the client has gone or does not read.
//! - [`StreamGroup`] are all open streams of a server. [`StreamGroup::drain`] ends them when it shuts down.
//! - A `hub` (feature `hub`) is one log of events for many clients, who come back to where they were.
//! - [`EventBody::into_http`] makes an [`http::Response`] with the [header fields](headers) that it needs.
//! - [`SseRequest`] is what a request says: the last event ID, and whether it asks for an event stream.
//! - `SocketOptions` (feature `net`) are those of a listener's sockets, so that clients that are gone are noticed.
//!
//! # Example
//!
//! ```
//! use futures_util::{FutureExt, StreamExt, stream};
//! use ssekit_core::Event;
//! use ssekit_server::EventBody;
//!
//! # async {
//! let events = stream::iter([Event::data("one"), Event::data("two")]);
//! let mut body = EventBody::new(events);
//! let chunk = body.next().await.unwrap()?;
//! assert_eq!(&chunk[..], b": \n\ndata: one\n\ndata: two\n\n");
//! # Ok::<(), ssekit_server::BodyError>(())
//! # }.now_or_never().unwrap().unwrap();
//! ```
//!
//! # Limits
//!
//! A chunk holds at most [`DEFAULT_MAX_CHUNK`] bytes unless [`EventBody::with_max_chunk`] says otherwise, or one event is
//! larger than that. Nothing is read ahead of what the connection takes, but for one event that did not fit. A channel
//! holds its capacity, a callback's 64 events. A thread keeps at most 16 buffers of 16 KiB for chunks. Times are at most
//! a year. A last event ID has at most [`LastEventId::MAX_LEN`] bytes.
//!
//! # Crate features
//!
//! - **hub**: the module `hub`. Brings the crate memchr.
//! - **metrics**: `HubStats::record`, for the crate metrics. Brings `hub`.
//! - **tracing**: a span of the crate tracing for each client of a hub. Brings `hub`.
//! - **net**: `SocketOptions` and `TcpKeepAlive`, for Unix and Windows. Brings the crate socket2.
//! - **serve**: `serve`, a server by hyper that ends with streams open and takes little memory for a connection. Brings
//!   `net`.
//! - **test**: the module `test`, a client for tests of handlers.

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(not(test), warn(clippy::expect_used, clippy::panic, clippy::unwrap_used))]

mod accept;
mod adapter;
mod batch;
mod body;
mod body_error;
mod channel;
mod close;
#[cfg(feature = "serve")]
mod connections;
mod drain;
mod from_fn;
mod http_response;
#[cfg(feature = "serve")]
mod http_version;
#[cfg(feature = "hub")]
pub mod hub;
mod keep_alive;
mod last_event_id;
mod pool;
mod request;
mod schedule;
#[cfg(feature = "serve")]
mod serve;
#[cfg(feature = "net")]
mod socket;
mod stall_clock;
mod stream_control;
mod stream_handle;
#[cfg(feature = "test")]
pub mod test;
mod wakeups;

pub use body::{DEFAULT_MAX_CHUNK, DEFAULT_STALL_TIMEOUT, EventBody};
pub use body_error::BodyError;
pub use channel::{Receiver, SendError, Sender, TrySendError};
pub use close::{AfterEnd, CloseReason};
pub use drain::{ConnectionGuard, DrainOptions, DrainPolicy, DrainReport, StreamGroup};
pub use from_fn::FromFn;
pub use http_response::headers;
pub use keep_alive::KeepAlive;
pub use last_event_id::{LastEventId, LastEventIdError};
pub use request::{SseRequest, SseRequestRejection};
#[cfg(feature = "serve")]
pub use serve::{Serve, Shutdown, serve};
#[cfg(feature = "net")]
pub use socket::{SocketOptions, TcpKeepAlive};
pub use ssekit_core::{BoxError, EventChunk, IntoEvent};
pub use stream_handle::StreamHandle;

/// What the adapters' response type is made of.
#[doc(hidden)]
pub mod __private {
    pub use futures_core::Stream;
}
