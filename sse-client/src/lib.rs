//! A client for event streams (`text/event-stream`) that reconnects: the EventSource of browsers, for programs.
//!
//! It follows the WHATWG HTML standard, section 9.2, and adds what programs need: any method and body, header fields,
//! timeouts, limits, errors with a reason, and streams that are received once.
//!
//! # Overview
//!
//! - [`EventSource`] is a `Stream` of [`SourceItem`]s and [`ClientError`]s, on reqwest.
//! - [`EventSource::get`] and [`post`](EventSource::post) return an [`EventSourceBuilder`], which has all settings.
//! - A [`ClientError`] has the [`Failure`] and the [`NextStep`]: whether and when another attempt follows.
//! - [`RetryPolicy`] decides which failures are retried, how often and when.
//! - [`client_builder`] builds a reqwest client with settings of your own: certificates, a proxy, a shared pool.
//! - [`machine`] has all of the rules without I/O, without a clock and without std, for another transport.
//!
//! # Example: a stream without an end
//!
//! ```no_run
//! use std::time::Duration;
//! use ssekit_client::EventSource;
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let mut source = EventSource::get("https://example.com/events")
//!     .with_header("authorization", "Bearer x")
//!     .with_idle_timeout(Duration::from_secs(60))
//!     .build()?;
//! // Reconnects by itself, and continues after the last event.
//! while let Some(event) = source.next_event().await? {
//!     println!("{}: {}", event.event_type, event.data);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Example: the answer of a language model
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
//! // Use one client for all questions: it keeps the connections.
//! let client = ssekit_client::client_builder().build()?;
//! let mut answer = EventSource::post("https://example.com/answer")
//!     .with_client(client.clone())
//!     .with_json(&["What is an event stream?"])
//!     // Never asks twice. An answer that ends without [DONE] is an error.
//!     .with_single_response_until(|event| event.data == "[DONE]")
//!     .build()?;
//! while let Some(event) = answer.next_event().await? {
//!     // An error of `json` names the event.
//!     print!("{}", event.json::<Token>()?.text);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Example: openings and failures
//!
//! ```no_run
//! use ssekit_client::{EventSource, Failure, RetryPolicy, SourceItem};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! // Also retries statuses such as 503.
//! let policy = RetryPolicy::new().with_retry_if(Failure::is_transient);
//! let mut source = EventSource::get("https://example.com/events").with_retry_policy(policy).build()?;
//! while let Some(item) = source.next().await {
//!     match item {
//!         Ok(SourceItem::Opened(opened)) => println!("connected to {}", opened.url),
//!         Ok(SourceItem::Event(event)) => println!("{}", event.data),
//!         Ok(_) => {}
//!         // For example: server answered with status 503; next attempt in 1.4 s
//!         Err(error) => eprintln!("{error}"),
//!     }
//! }
//! println!("{:?}", source.end_reason());
//! # Ok(())
//! # }
//! ```
//!
//! # Behaviour
//!
//! - A network error or the end of the stream leads to another attempt, with the last event ID. An event that is not complete
//!   is dropped, and never joined with the next connection.
//! - A response that is not an event stream is a final error, with status, header fields and the start of the body. 204 ends
//!   the source.
//! - Nothing is lost silently. Each failure is a [`ClientError`], which says whether and when another attempt follows. An event
//!   over a limit is an error too, and the stream continues.
//! - Clients that lose their server together do not return together: the backoff is random, and has a cap. `retry` and
//!   `Retry-After` are honoured.
//! - Header fields stay within the origin of the URL. After a redirect to another origin only harmless ones are sent. (A client of
//!   your own sends its default header fields everywhere: see [`with_client`](EventSourceBuilder::with_client).)
//! - Errors and `Debug` show neither credentials nor the query of a URL.
//! - Events that lie within one chunk share it: nothing is copied, and nothing is allocated.
//! - The source has no task of its own, and reads nothing ahead. It works when it is polled, and dropping it cancels it.
//!
//! # Differences from browsers
//!
//! - Redirects: 301 and 308 are remembered until they lead to no event stream; 302, 303 and 307 are not. Firefox does the same,
//!   and Chromium remembers all. At most 20 are followed, and none from `https` to `http`.
//! - The reconnection time is 1 second at first, plus a backoff: see [`RetryPolicy`]. No delay is shorter than 100 milliseconds,
//!   unless the policy allows it.
//! - An ID with control characters cannot be sent by HTTP. It is a final error.
//! - A `charset` other than UTF-8 is ignored, as the standard requires. Chromium rejects it.
//!
//! # Limits
//!
//! | what | limit | setting |
//! |---|---|---|
//! | an event, a comment | [`Limits::default`](ssekit_core::Limits) | [`with_limits`](EventSourceBuilder::with_limits) |
//! | body of a response that is not an event stream | 8 KiB within 5 seconds | |
//! | time until the head of a response | 60 seconds | [`with_response_timeout`](EventSourceBuilder::with_response_timeout) |
//! | time without any byte | none | [`with_idle_timeout`](EventSourceBuilder::with_idle_timeout) |
//! | redirects in an attempt | 20 | [`with_max_redirects`](EventSourceBuilder::with_max_redirects) |
//! | attempts | none | [`RetryPolicy::with_max_retries`] |
//! | header fields of a request | 1,000 | |
//!
//! # Crate features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `reqwest` | yes | [`EventSource`] and everything else but [`machine`]. Without it the crate is `no_std` with an allocator. |
//! | `tls` | yes | `https`, by rustls and ring with the system's certificates. Another provider of rustls that the program has installed stays. |
//! | `http2` | yes | HTTP/2, if TLS negotiates it. |
//! | `gzip` | yes | Compressed bodies. |
//! | `brotli`, `deflate`, `zstd` | no | Bodies with these compressions. |
//! | `json` | yes | [`EventSourceBuilder::with_json`], and `json` of events. |
//!
//! Each of the others enables `reqwest`. The feature `client` of the facade `ssekit` enables `reqwest`, `tls`, `http2` and
//! `gzip`; its feature `json` enables `json`. For fewer features, depend on this crate without its default features.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(clippy::exhaustive_enums, clippy::exhaustive_structs)]
#![cfg_attr(not(test), warn(clippy::expect_used, clippy::panic, clippy::unwrap_used))]
#![cfg_attr(not(test), warn(clippy::too_many_lines))]

extern crate alloc;
#[cfg(feature = "reqwest")]
extern crate std;

#[cfg(feature = "reqwest")]
mod builder;
#[cfg(feature = "reqwest")]
mod client_error;
#[cfg(feature = "reqwest")]
mod event_source;
#[cfg(feature = "reqwest")]
mod http_client;
#[cfg(feature = "reqwest")]
mod invalid_request;
pub mod machine;
#[cfg(feature = "reqwest")]
mod request;
#[cfg(feature = "reqwest")]
mod retry_after;
#[cfg(feature = "reqwest")]
mod source_item;

#[cfg(feature = "reqwest")]
pub use builder::EventSourceBuilder;
#[cfg(feature = "reqwest")]
pub use client_error::{BoxError, ClientError};
#[cfg(feature = "reqwest")]
pub use event_source::{EventSource, Events};
#[cfg(feature = "reqwest")]
pub use http_client::client_builder;
#[cfg(feature = "reqwest")]
pub use invalid_request::InvalidRequest;
#[doc(inline)]
pub use machine::{EndReason, Failure, NextStep, ReadyState, RedirectError, RetryPolicy};
#[cfg(feature = "reqwest")]
pub use request::Attempt;
#[cfg(feature = "reqwest")]
pub use retry_after::parse_retry_after;
#[cfg(feature = "reqwest")]
pub use source_item::{Opened, SourceItem};

#[cfg(feature = "reqwest")]
#[doc(no_inline)]
pub use reqwest;

/// Compiles the examples of the README.
#[cfg(all(doctest, feature = "reqwest"))]
#[doc = include_str!("../README.md")]
struct Readme;
