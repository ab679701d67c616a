//! Server-sent events (`text/event-stream`): an encoder and an incremental decoder that need neither std nor an allocator,
//! and thin adapters that turn any `Stream` of events into a response.
//!
//! This package is a facade. What it has by itself is [`ssekit_core`]'s, whose documentation says what is promised:
//! start at [`FixedDecoder`] or `Decoder` to read an event stream, and at [`Event`] to write one.
//!
//! # Crate features
//!
//! - **std** (default), **alloc**, **bytes** (`EncodedEvent`, `ReceivedEvent`), **stream** (`EventStream`), **json** (`EncodedEvent::json`,
//!   `MessageEvent::json`):
//!   those of `ssekit-core`.
//! - **server**: the module `server`, a response body for any HTTP server.
//! - **serve**: the function `server::serve`, a server on hyper that drains open streams. Brings `server`.
//! - **axum**: the module `axum`, responses, extractors and a server. Brings `server`.
//! - **client**: the module `client`, an EventSource for programs on reqwest.
//! - **hub**: the module `hub`, one log of events for many clients. Brings `server`; **tracing** brings `hub`, **metrics** brings `server`.
//! - **redis**: the module `redis`, the hub's log on Redis or Valkey StreamGroup, for several processes. Brings `hub`;
//!   **redis-tls**, for `rediss://`, brings `redis`.
//! - **test**: the module `server::test`, a client for tests of handlers.
//! - **actix**: the same for actix-web, in the module `actix`. Needs its Rust version, 1.89.

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

/// The examples of the page on several nodes, compiled.
#[cfg(doctest)]
#[doc = include_str!("../docs/several-nodes.md")]
struct SeveralNodes;
