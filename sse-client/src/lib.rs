//! An EventSource for programs: a client for server-sent events that reconnects by the rules of the WHATWG HTML standard,
//! section 9.2, and has what programs need beyond them.
#![no_std]
#![forbid(unsafe_code)]
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
pub use event_source::EventSource;
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
