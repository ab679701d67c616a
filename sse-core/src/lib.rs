//! Server-sent events on the wire: an incremental decoder and an encoder for `text/event-stream`, as the WHATWG HTML
//! standard has it in section 9.2.
//!
//! It is `no_std`, needs no allocator, does no I/O and knows no runtime: bytes come in and events go out, or the other
//! way round. The package `ssekit` has this and, by feature, what web frameworks need around it.
//!
//! # Overview
//!
//! - [`Decoder`] turns chunks of an event stream into [`MessageEvent`]s that borrow; [`FixedDecoder`] and
//!   [`SliceDecoder`] do it with no allocator, [`EventStream`] for a `Stream` of chunks, and the [`Lexer`] under them
//!   shows every line and keeps nothing.
//! - [`Event`] is what a sender builds and encodes: into a slice, a `BufMut`, a `fmt::Write` or an `io::Write`.
//!   [`EventWriter`] takes data in pieces. [`EncodedEvent`] is an event encoded once, to be shared by many receivers.
//!
//! # Example: decoding
//!
//! Chunks may be of any size and cut anywhere. The loop is the same for a socket, a file or an HTTP body.
//!
//! ```
//! use std::io::Read;
//! use ssekit_core::Decoder;
//!
//! # let mut body = &b": welcome\n\nevent: token\ndata: {\"text\":\"Hi\"}\n\ndata: [DONE]\n\n"[..];
//! # let mut seen = Vec::new();
//! let mut decoder = Decoder::new();
//! let mut buffer = [0; 16 * 1024];
//! loop {
//!     let n = body.read(&mut buffer)?;
//!     if n == 0 {
//!         break;
//!     }
//!     let mut chunk = &buffer[..n];
//!     while let Some(event) = decoder.next_event(&mut chunk)? {
//!         println!("{}: {}", event.event_type, event.data);
//! #       seen.push(format!("{}: {}", event.event_type, event.data));
//!     }
//! }
//! # assert_eq!(seen, ["token: {\"text\":\"Hi\"}", "message: [DONE]"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Example: encoding
//!
//! Whatever the strings hold, what is written is one event, with this type and this data.
//!
//! ```
//! use ssekit_core::{Event, EventType};
//!
//! let name = EventType::new("note")?; // an error if there is a line break in it
//! let event = Event::data("first line\r\nsecond line").with_event_type(name);
//!
//! let mut buffer = [0; 64];
//! let n = event.encode_to_slice(&mut buffer)?;
//! assert_eq!(&buffer[..n], b"event: note\ndata: first line\ndata: second line\n\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Why use this
//!
//! - What was encoded decodes to the same type, ID and data, with line breaks normalised to LF (and an empty type as
//!   `message`), and to nothing else. No input can end a line early: types and IDs are valid by construction, data and
//!   comments are split.
//! - What was decoded does not depend on the cuts, and is what the standard says to the byte, also for CR, CRLF, NUL,
//!   byte order marks and bytes that are not UTF-8.
//! - Time is linear and memory bounded, whatever a peer sends. Nothing panics on input.
//! - An event that lies whole in a chunk is not copied, but for its ID and for several lines of data, which are joined;
//!   and decoding allocates nothing once its buffers are warm.
//!
//! # Limits
//!
//! A decoder takes 16 MiB of data and 8 KiB each of event type and ID for one event unless [`Limits`] say otherwise. An
//! event over a limit is a [`DecodeError`], and decoding goes on with the next. An encoder has no limit but its sink's.
//!
//! # Crate features
//!
//! - **std** (default): [`Event::encode_to_writer`], and faster search for line ends by the CPU's own features.
//! - **alloc**: buffers that grow, and so [`Decoder`]. Part of `std`. Without it nothing allocates.
//! - **bytes**: [`EncodedEvent`], [`ReceivedEvent`], and [`Event::encode`] into a `BufMut`. Needs an allocator.
//! - **stream**: [`EventStream`] and [`RelayStream`], by `futures-core`. Brings `bytes`.
//! - **json**: [`EncodedEvent::json`] and [`MessageEvent::json`], by `serde_json`. Brings `bytes`.

#![no_std]
#![deny(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(clippy::exhaustive_enums, clippy::exhaustive_structs)]
#![cfg_attr(not(test), warn(clippy::expect_used, clippy::panic, clippy::unwrap_used))]
#![cfg_attr(not(test), warn(clippy::too_many_lines))]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod buffer;
mod decoder;
mod encode;
#[cfg(feature = "bytes")]
mod encoded_event;
mod event;
#[cfg(feature = "bytes")]
mod into_event;
#[cfg(feature = "json")]
mod json;
mod lexer;
mod limits;
mod line_bytes;
mod message_event;
mod pending_event;
#[cfg(feature = "bytes")]
mod received_event;
#[cfg(feature = "stream")]
mod relay;
#[allow(unsafe_code)]
mod scan;
mod sink;
#[cfg(feature = "stream")]
mod stream;
mod text;
mod utf8;
mod values;

pub use buffer::{Buffer, BufferFull, FixedBuffer, SliceBuffer};
#[cfg(feature = "alloc")]
pub use decoder::Decoder;
pub use decoder::{BufferedDecoder, Buffers, FixedDecoder, SliceDecoder};
pub use encode::{BufferTooSmall, EventWriter};
#[cfg(feature = "bytes")]
pub use encoded_event::EncodedEvent;
pub use event::Event;
#[cfg(feature = "bytes")]
pub use into_event::{BoxError, EventBuffer, EventChunk, IntoEvent};
#[cfg(feature = "json")]
pub use json::{JsonData, JsonEncodeError};
pub use lexer::{FieldName, Fragment, Lexer, Token};
pub use limits::{DecodeError, Limits};
#[cfg(feature = "json")]
pub use message_event::JsonDecodeError;
pub use message_event::MessageEvent;
#[cfg(feature = "bytes")]
pub use received_event::{ReceivedEvent, SharedStr};
#[cfg(feature = "stream")]
pub use relay::{RelayEvent, RelayStream};
pub use sink::SliceWriter;
#[cfg(feature = "stream")]
pub use stream::{EventStream, StreamError};
pub use text::Text;
pub use values::{EventId, EventType, IntoEventId, IntoEventType, InvalidValue};
