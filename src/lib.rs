//! Serves, receives, fans out and decodes server-sent events (`text/event-stream`), as WHATWG HTML, section 9.2, defines
//! them.
//!
//! This crate is a facade. It re-exports [`ssekit_core`], the wire format, and has a module for each other part.
//!
//! # Overview
//!
//! | task | start at |
//! |---|---|
//! | serve a stream, a channel or an async function | `axum::Sse` or `actix::Sse` |
//! | serve on another framework | `server::EventBody` |
//! | serve many clients, who resume | `hub::Hub` |
//! | share events between several nodes | `redis::RedisLog` |
//! | receive events, and reconnect | `client::EventSource` |
//! | decode bytes | `Decoder`, `EventStream`; without an allocator [`FixedDecoder`] |
//! | encode bytes | [`Event`] |
//!
//! The [guides](mod@guides) compare ssekit with other crates, and say how to migrate from them.
//!
//! # The five types of events
//!
//! | direction | type | purpose |
//! |---|---|---|
//! | to send | [`Event`] | Builds an event. Borrows or owns its text. |
//! | to send | `EncodedEvent` | An event encoded once into shared bytes. Cloning it counts a reference. |
//! | received | [`MessageEvent`] | An event that a decoder returns. Borrows from the chunk or the decoder. |
//! | received | `ReceivedEvent` | An event that owns its text. Shares the bytes of the chunk. |
//! | received | `RelayEvent` | A received event together with its original bytes. |
//!
//! All of them, `Result`s of them, and `JsonData` of a value can be sent: they implement `IntoEvent`.
//!
//! # Example
//!
//! ```
//! use ssekit::{Event, event_type};
//!
//! let event = Event::data("two\nlines").with_event_type(event_type!("news")).with_id(7);
//! assert_eq!(event.to_string(), "event: news\nid: 7\ndata: two\ndata: lines\n\n");
//! ```
//!
//! # Glossary
//!
//! | term | meaning |
//! |---|---|
//! | event | A block of an event stream: event type, ID, data, reconnection time. |
//! | comment | A line that receivers ignore. It keeps a connection alive. |
//! | chunk | A piece of an event stream, as a connection delivers it. It may start and end anywhere. |
//! | event type | The `event` field. `message` if there is none. |
//! | ID, last event ID | The `id` field, and the ID that a receiver remembers and sends when it reconnects. |
//! | reconnection time | The `retry` field: how long a receiver waits before it reconnects. |
//! | send | Puts an event into one stream. |
//! | publish | Puts an event into a hub, for all subscribers of a topic. |
//! | subscribe | Asks a hub for the events of topics. |
//! | respond | Answers a request with a stream or a rejection. |
//! | end | Ends a stream. Its client may reconnect. |
//! | finish | Ends a stream or a topic for good. Its client does not reconnect. |
//! | fail | Breaks a stream off, so that it does not look complete. |
//! | disconnect | Ends clients of a hub. |
//! | drain | Ends all streams of a group in an orderly way, before the server stops. |
//! | resume | Continues after the client's last event. |
//! | reject | Refuses a subscriber or a request. |
//! | close | The fact that a stream is over, whoever ended it: `CloseReason`, `on_close`. |
//! | topic, prefix | The name that an event is published to; the start of such names. |
//! | key | The name of a client (for presence and disconnecting), or of a state that an event replaces. |
//! | log, position | The events of a hub in order; the place of an event in it, which is its ID. |
//! | epoch | A history of a log. Positions of two epochs cannot be compared. |
//! | gap | A range of positions whose events a client does not receive. |
//! | slow consumer | A client that reads more slowly than events are published. |
//! | node | One of several processes that share a log. |
//!
//! # Crate features
//!
//! | feature | adds | brings |
//! |---|---|---|
//! | **std** (default) | `Event::encode_to_writer`; search for line ends by features of the CPU | `alloc` |
//! | **alloc** | `Decoder`, events that own their text | |
//! | **bytes** | `EncodedEvent`, `ReceivedEvent`, `IntoEvent`, encoding into a `BufMut` | `alloc` |
//! | **stream** | `EventStream`, `RelayStream` | `bytes` |
//! | **json** | `JsonData`, `Event::json`, `MessageEvent::json`, requests with a JSON body | `bytes` |
//! | **server** | the module `server`: a response body for any HTTP server | `std`, `bytes` |
//! | **net** | `server::SocketOptions`, for the listener of any server; `axum`, `actix` and `serve` bring it | `server` |
//! | **serve** | `server::serve`: a server on hyper that drains open streams | `server` |
//! | **axum** | the module `axum`: responses, extractors, a server | `server` |
//! | **actix** | the module `actix`: the same for actix-web; needs Rust 1.89 | `server` |
//! | **hub** | the module `hub`: topics, resuming, a registry of clients | `server` |
//! | **redis** | the module `redis`: a hub's log on Redis or Valkey Streams | `hub` |
//! | **redis-tls** | `rediss://` URLs, by rustls | `redis` |
//! | **client** | the module `client`: an EventSource on reqwest, with TLS, HTTP/2 and gzip | `std`, `bytes` |
//! | **metrics** | metrics of all streams and hubs, for a recorder of the crate `metrics` | `server` |
//! | **serde** | `Serialize` for stats, reports and status | `server` |
//! | **tracing** | a span for each client of a hub | `hub` |
//! | **test** | `server::test::TestClient`, for tests of handlers | `server` |

#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(clippy::exhaustive_enums, clippy::exhaustive_structs)]
#![cfg_attr(not(test), warn(clippy::expect_used, clippy::panic, clippy::unwrap_used))]
#![cfg_attr(not(test), warn(clippy::too_many_lines))]

pub mod guides;

#[doc(inline)]
pub use ssekit_core::*;

#[cfg(feature = "actix")]
#[doc(inline)]
pub use ssekit_actix as actix;
#[cfg(feature = "axum")]
#[doc(inline)]
pub use ssekit_axum as axum;
#[cfg(feature = "client")]
#[doc(inline)]
pub use ssekit_client as client;
#[cfg(feature = "redis")]
#[doc(inline)]
pub use ssekit_redis as redis;
#[cfg(feature = "server")]
#[doc(inline)]
pub use ssekit_server as server;
#[cfg(feature = "hub")]
#[doc(inline)]
pub use ssekit_server::hub;

/// The README's examples, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
