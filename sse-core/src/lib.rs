//! An encoder and an incremental decoder for server-sent events.
//!
//! Server-sent events are the format `text/event-stream` of the [WHATWG HTML standard, section 9.2][standard]. This
//! crate converts between its bytes and events. It does no I/O, needs no async runtime, and is `no_std`. It does not
//! need an allocator either.
//!
//! The package `ssekit` contains this crate, and adds servers, a hub and a client.
//!
//! [standard]: https://html.spec.whatwg.org/multipage/server-sent-events.html
//!
//! # Overview
//!
//! There are five types of events. They differ in the owner of their text:
//!
//! | type | direction | text | use it to |
//! |---|---|---|---|
//! | [`Event`] | send | borrowed or owned | build an event and encode it |
//! | [`EncodedEvent`] | send | encoded bytes, shared | send one event to many receivers |
//! | [`MessageEvent`] | receive | borrowed from the chunk or the decoder | read events without copying them |
//! | [`ReceivedEvent`] | receive | owned; long text shares the chunk | keep events, or send them to another task |
//! | [`RelayEvent`] | both | as `ReceivedEvent`, and its raw bytes | send a received event on unchanged |
//!
//! To decode, choose by the source of the bytes:
//!
//! | source | decoder | events |
//! |---|---|---|
//! | chunks from anywhere | [`Decoder`] | [`MessageEvent`] |
//! | chunks, without an allocator | [`FixedDecoder`] or [`SliceDecoder`] | [`MessageEvent`] |
//! | an async stream of chunks | [`EventStream`] | [`ReceivedEvent`] |
//! | the same, for a relay | [`RelayStream`] | [`RelayEvent`] |
//! | chunks, to see comments and parts of lines | [`Lexer`] | [`Token`] |
//!
//! To encode, call a method of [`Event`]: `encode_to_slice`, `encode` (into a `BufMut`), `encode_to_writer` (into an
//! `io::Write`), or `to_string`. [`EventWriter`] writes data that comes in pieces.
//!
//! # Example: decode chunks
//!
//! Chunks can have any size and can be cut anywhere. The loop is the same for a socket, a file or an HTTP body.
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
//! # Example: decode an async stream
//!
//! ```
//! # #[cfg(feature = "stream")] {
//! use futures_util::{StreamExt, stream};
//! use ssekit_core::EventStream;
//!
//! # futures_util::FutureExt::now_or_never(async {
//! let chunks = stream::iter([Ok::<_, std::io::Error>("data: hel"), Ok("lo\n\n")]);
//! let mut events = EventStream::new(chunks);
//! while let Some(event) = events.next().await {
//!     assert_eq!(event?.data, "hello");
//! }
//! # Ok::<(), ssekit_core::StreamError<std::io::Error>>(())
//! # }).unwrap().unwrap();
//! # }
//! ```
//!
//! # Example: read JSON
//!
//! ```
//! # #[cfg(feature = "json")] {
//! use ssekit_core::Decoder;
//!
//! let mut decoder = Decoder::new();
//! let mut chunk = &b"event: point\ndata: [1,2]\n\n"[..];
//! while let Some(event) = decoder.next_event(&mut chunk)? {
//!     let (x, y): (i32, i32) = event.json()?;
//!     assert_eq!((x, y), (1, 2));
//! }
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Example: encode an event
//!
//! Text cannot add fields or events, whatever it contains.
//!
//! ```
//! use ssekit_core::{Event, EventType};
//!
//! let name = EventType::new("note")?; // an error if the text has a line break
//! let event = Event::data("first line\r\nsecond line").with_event_type(name).with_id(7);
//!
//! let mut buffer = [0; 64];
//! let n = event.encode_to_slice(&mut buffer)?;
//! assert_eq!(&buffer[..n], b"event: note\nid: 7\ndata: first line\ndata: second line\n\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Example: encode once for many receivers
//!
//! ```
//! # #[cfg(feature = "json")] {
//! use ssekit_core::{EncodedEvent, Event, event_type};
//!
//! let head = Event::new().with_event_type(event_type!("price"));
//! let event = EncodedEvent::json(&head, &[17, 18])?;
//! let receivers = [event.clone(), event.clone()]; // these share the bytes
//! assert_eq!(receivers[1].as_bytes(), b"event: price\ndata: [17,18]\n\n");
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Why use this crate?
//!
//! - **It follows the standard to the byte**, also for CR, CRLF, NUL, byte order marks and bytes that are not UTF-8.
//!   The decoded events do not depend on where chunks are cut.
//! - **It cannot be injected.** An event decodes to the same type, ID and data that were encoded, and to nothing else.
//!   Line breaks arrive as LF, and an empty type arrives as `message`.
//! - **It is bounded.** The time is linear in the input, and memory is limited, whatever a peer sends. No input causes
//!   a panic.
//! - **It is fast.** An event that lies whole in a chunk is not copied, except for its ID and for data of several
//!   lines. After its buffers have grown, the decoder allocates nothing.
//!
//! # Limits
//!
//! By default, the decoder accepts 16 MiB of data, 8 KiB of event type and 8 KiB of ID for each event. [`Limits`]
//! change this. The decoder reports an event over a limit as a [`DecodeError`], drops it, and continues with the next event.
//!
//! The encoder has no limits.
//!
//! # Crate features
//!
//! - **std** (default): adds `Event::encode_to_writer`, which writes to an `io::Write`. The search for line ends uses
//!   AVX2 if the CPU has it. Enables `alloc`.
//! - **alloc**: adds [`Decoder`], whose buffers grow, and owned text in [`Event`]. Without this feature, the crate
//!   never allocates.
//! - **bytes**: adds [`EncodedEvent`], [`ReceivedEvent`], [`IntoEvent`], and `Event::encode`, which writes to a
//!   `BufMut`. Uses the crates `bytes` and `bytestring`. Enables `alloc`.
//! - **stream**: adds [`EventStream`] and [`RelayStream`]. Uses the crate `futures-core`. Enables `bytes`.
//! - **json**: adds `MessageEvent::json`, `Event::json`, [`EncodedEvent::json`] and [`JsonData`]. Uses `serde_json`.
//!   Enables `bytes`.

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
pub use decoder::{BufferedDecoder, DecoderBuffers, FixedDecoder, SliceDecoder};
pub use encode::{BufferTooSmall, EventWriter};
#[cfg(feature = "bytes")]
pub use encoded_event::EncodedEvent;
pub use event::Event;
#[cfg(feature = "bytes")]
pub use into_event::{BoxError, EventBuffer, EventChunk, IntoEvent};
#[cfg(feature = "json")]
pub use json::{JsonData, JsonEncodeError};
pub use lexer::{FieldName, Lexer, Token, ValueFragment};
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
