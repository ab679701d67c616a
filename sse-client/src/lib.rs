//! An EventSource for programs: a client for event streams (`text/event-stream`) that reconnects by the rules of the WHATWG
//! HTML standard, section 9.2, and has what programs need and browsers lack.
//!
//! # Overview
//!
//! - [`EventSource`] is a `Stream` of [`Item`]s and [`Error`]s, on reqwest. [`EventSource::get`] and
//!   [`post`](EventSource::post) make an [`EventSourceBuilder`]: any method and body, header fields of the program's or
//!   asked for before each attempt, timeouts, limits, one-shot streams.
//! - [`RetryPolicy`] says what is tried again, how often and when; an [`Error`] says what has gone wrong, and what follows.
//! - [`client_builder`] makes a client of reqwest with settings of your own: certificates, a proxy, a pool to share.
//! - [`machine`] is all of the rules, with no I/O, no clock and no std: for another transport.
//!
//! # Example: a stream that never ends
//!
//! ```no_run
//! use std::time::Duration;
//! use ssekit_client::EventSource;
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let mut events = EventSource::get("https://example.com/events")
//!     .with_header("authorization", "Bearer x")
//!     .with_idle_timeout(Duration::from_secs(60))
//!     .build()?;
//! // It reconnects behind the scenes, and goes on behind the last event.
//! while let Some(event) = events.next_event().await? {
//!     println!("{}: {}", event.event_type, event.data);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Example: a language model's answer
//!
//! ```no_run
//! use ssekit_client::EventSource;
//!
//! #[derive(serde::Deserialize)]
//! struct Token {
//!     text: String,
//! }
//!
//! # #[cfg(feature = "json")]
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! // One for all questions: it keeps the connections.
//! let client = ssekit_client::client_builder().build()?;
//! let mut tokens = EventSource::post("https://example.com/answer")
//!     .with_client(client.clone())
//!     .with_json(&["What is an event stream?"])
//!     // Nothing is asked twice, and an answer that is closed before it is whole is an error.
//!     .with_one_shot_until(|event| event.data == "[DONE]")
//!     .build()?;
//! while let Some(event) = tokens.next_event().await? {
//!     // An error names the event.
//!     print!("{}", event.json::<Token>()?.text);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Why use this
//!
//! - To the standard, and what it leaves open as browsers do it: what is no event stream fails for good, with status, header
//!   fields and the start of the body; 204 ends it; a network error or the end of the stream is followed by another attempt
//!   behind the last event ID; what is unfinished is dropped, and never joined with the next connection.
//! - Nothing is lost silently. What goes wrong is an [`Error`] that says whether another attempt follows, and when; an event
//!   over a limit is one as well, and the stream goes on.
//! - Servers are treated kindly: full jitter, a cap, `retry` and `Retry-After` kept.
//! - What is meant for one origin does not leave it: once a redirect has led to another, no header field of the program's is
//!   sent but harmless ones (default ones of a client of its own are: see
//!   [`with_client`](EventSourceBuilder::with_client)), and none leads from `https` to `http`. Errors and what `Debug` shows
//!   have neither credentials nor queries of URLs in them.
//! - Events that lie whole in a chunk share it; for them nothing is copied and nothing allocated.
//! - It does nothing but when it is polled: no task, nothing read ahead, and dropping it is the way to cancel.
//!
//! # What is other than in a browser
//!
//! - Redirects: 301 and 308 are remembered until they lead to no event stream, 302, 303 and 307 are not, as in Firefox (Chromium
//!   remembers all). At most 20 are followed, and none from `https` to `http`.
//! - The reconnection time is 1 second at first, and there is a backoff: see [`RetryPolicy`]. No wait is shorter than a tenth
//!   of a second, unless the policy says so.
//! - An ID that HTTP cannot carry, since it has control characters, is an error, and the end.
//! - A `charset` other than UTF-8 is ignored, as the standard has it (Chromium refuses it).
//!
//! # Limits
//!
//! Those of [`Limits`](ssekit_core::Limits) for each event, and for comments as for data. Of a response that is none that
//! is wanted, 8 KiB of the body, for which it is waited 5 seconds. 60 seconds until there is a response. No limit to silence,
//! unless [asked for](EventSourceBuilder::with_idle_timeout). Attempts without end, unless the policy has one.
//!
//! # Crate features
//!
//! - **reqwest** (default): [`EventSource`] and all but the machine. Without it the crate is `no_std`, and needs an
//!   allocator.
//! - **tls** (default): `https:`, by rustls and ring with the certificates that the system trusts. A program that has chosen
//!   another provider for rustls keeps that.
//! - **http2** (default): HTTP/2, where TLS negotiates it.
//! - **gzip** (default), **brotli**, **deflate**, **zstd**: bodies that the server has compressed.
//! - **json** (default): [`EventSourceBuilder::with_json`], and `json` of events.
//!
//! All but `reqwest` bring that. (The facade `ssekit` has by its feature `client` the first four, and `json` by its own. For
//! less depend on this crate, without its default features.)
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(not(test), warn(clippy::expect_used, clippy::panic, clippy::unwrap_used))]

extern crate alloc;
#[cfg(feature = "reqwest")]
extern crate std;

#[cfg(feature = "reqwest")]
mod builder;
#[cfg(feature = "reqwest")]
mod client;
#[cfg(feature = "reqwest")]
mod comments;
#[cfg(feature = "reqwest")]
mod error;
#[cfg(feature = "reqwest")]
mod event_source;
#[cfg(feature = "reqwest")]
mod item;
pub mod machine;
#[cfg(feature = "reqwest")]
mod request;
#[cfg(feature = "reqwest")]
mod retry_after;

#[cfg(feature = "reqwest")]
pub use builder::{EventSourceBuilder, InvalidRequest};
#[cfg(feature = "reqwest")]
pub use client::client_builder;
#[cfg(feature = "reqwest")]
pub use error::{BoxError, Error};
#[cfg(feature = "reqwest")]
pub use event_source::{EventSource, Events};
#[cfg(feature = "reqwest")]
pub use item::{Item, Open};
pub use machine::{ReadyState, RetryPolicy};
#[cfg(feature = "reqwest")]
pub use request::Attempt;
#[cfg(feature = "reqwest")]
pub use retry_after::retry_after;

#[cfg(feature = "reqwest")]
#[doc(no_inline)]
pub use reqwest;
