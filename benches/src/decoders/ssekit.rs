//! Ours.

use std::hint::black_box;

use bytes::Bytes;
use ssekit_core::{FieldName, Token};

use super::{Decoder, Gives, drain, stream_of};
use crate::{Kind, Totals};

/// Events that borrow.
pub(super) struct NextEvent;

impl Decoder for NextEvent {
    const NAME: &'static str = "ssekit-next-event";
    const KIND: Kind = Kind::Ours;
    const GIVES: Gives = Gives::Borrowed;
    const IS_STREAM: bool = false;

    fn count(chunks: &[Bytes]) -> Totals {
        let mut totals = Totals::default();
        let mut decoder = ssekit_core::Decoder::new();
        for chunk in chunks {
            let mut chunk = &chunk[..];
            while let Some(event) = decoder.next_event(&mut chunk).expect("no event is over a limit") {
                totals.add(event.event_type, event.data, event.last_event_id);
            }
        }
        totals
    }
}

/// Events that share their chunk.
pub(super) struct EventStream;

impl Decoder for EventStream {
    const NAME: &'static str = "ssekit-event-stream";
    const KIND: Kind = Kind::Ours;
    const GIVES: Gives = Gives::Shared;
    const IS_STREAM: bool = true;

    fn count(chunks: &[Bytes]) -> Totals {
        drain(ssekit_core::EventStream::new(stream_of(chunks)), |totals, event| {
            let event = event.expect("no event is over a limit");
            totals.add(&event.event_type, &*event.data, &event.last_event_id);
        })
    }
}

/// Tokens, of which nothing but lengths is kept. Nor is any checked to be UTF-8.
pub(super) struct Lexer;

impl Decoder for Lexer {
    const NAME: &'static str = "ssekit-lexer";
    const KIND: Kind = Kind::Ours;
    const GIVES: Gives = Gives::Tokens;
    const IS_STREAM: bool = false;

    fn count(chunks: &[Bytes]) -> Totals {
        let mut totals = Totals::default();
        let mut lexer = ssekit_core::Lexer::new();
        // The data with a line feed behind each of its lines.
        let (mut data_len, mut type_len, mut id_len) = (0, 0, 0);
        for chunk in chunks {
            let mut chunk = &chunk[..];
            while let Some(token) = lexer.next_token(&mut chunk) {
                let Token::Value(fragment) = token else {
                    if data_len > 0 {
                        totals.events += 1;
                        totals.data_bytes += data_len - 1;
                        totals.type_bytes += if type_len == 0 { "message".len() } else { type_len };
                        totals.id_bytes += id_len;
                    }
                    (data_len, type_len) = (0, 0);
                    continue;
                };
                let len = black_box(fragment.bytes).len();
                match fragment.field {
                    FieldName::Data => data_len += len + usize::from(fragment.is_last),
                    FieldName::Event => type_len = len + if fragment.is_first { 0 } else { type_len },
                    FieldName::Id => id_len = len + if fragment.is_first { 0 } else { id_len },
                    _ => {}
                }
            }
        }
        totals
    }
}
