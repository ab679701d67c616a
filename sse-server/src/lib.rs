//! Server-sent events for any HTTP server: a response body that sends a stream of events.
//!
//! This crate knows no framework. The adapters ssekit-axum and ssekit-actix make its types the responses and extractors of
//! their frameworks.
//!
//! # Overview
//!
//! - [`EventBody`] sends a stream, a [channel](EventBody::channel) or an [async function](EventBody::from_fn).
//!   [`EventBody::into_http`] turns it into an [`http::Response`] with the right [header fields](headers).
//! - [`SseRequest`] is what a request says: the last event ID, and whether the client wants an event stream.
//! - [`CloseReason`] is why a stream is over. [`EventBody::on_close`] reports it, and a [`StreamHandle`] ends a stream from
//!   elsewhere.
//! - [`StreamGroup`] counts streams. [`StreamGroup::drain`] ends them before a shutdown.
#![cfg_attr(
    feature = "hub",
    doc = "- [`hub`] is one log of events for many clients, which resume after their last event."
)]
#![cfg_attr(feature = "metrics", doc = "- [`metrics`] lists the metrics of all streams.")]
#![cfg_attr(feature = "net", doc = "- [`SocketOptions`] makes a server notice clients that are gone or do not read.")]
#![cfg_attr(feature = "serve", doc = "- [`serve()`] is a server on hyper that shuts down while streams are open.")]
#![cfg_attr(feature = "test", doc = "- [`test`](mod@test) has a client for tests of handlers.")]
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
//! | what | limit |
//! |---|---|
//! | bytes of a chunk with several events | [`DEFAULT_MAX_CHUNK`], or [`EventBody::with_max_chunk`] |
//! | events read ahead of the connection | one that did not fit into the chunk |
//! | events in a channel | its capacity; 64 for an async function |
//! | time without a read by the client | [`DEFAULT_STALL_TIMEOUT`], or [`EventBody::with_stall_timeout`] |
//! | bytes of a last event ID | [`LastEventId::MAX_LEN`] |
//! | any time | a year |
//! | buffers that a thread keeps | 16 of 16 KiB |
//!
//! # Crate features
//!
//! - **hub**: the module `hub`. It needs the crate memchr.
//! - **serde**: `Serialize` for `DrainReport` and the hub's stats, clients, topics and gaps. Durations are in seconds.
//! - **metrics**: the module `metrics`. It needs the crate metrics.
//! - **tracing**: a span of the crate tracing for each client of a hub. It enables `hub`.
//! - **net**: `SocketOptions` and `TcpKeepAlive`, for Unix and Windows. It needs the crate socket2.
//! - **serve**: the server. It needs the crates hyper and hyper-util, and enables `net`.
//! - **test**: the module `test`.

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(clippy::exhaustive_enums, clippy::exhaustive_structs)]
#![cfg_attr(not(test), warn(clippy::expect_used, clippy::panic, clippy::unwrap_used))]
#![cfg_attr(not(test), warn(clippy::too_many_lines))]

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
mod meter;
#[cfg(feature = "metrics")]
pub mod metrics;
mod pool;
mod request;
mod schedule;
#[cfg(feature = "serde")]
mod seconds;
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
