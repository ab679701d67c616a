//! Runs each form of the decoder, and the reference. All return the same type.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use ssekit_core::{
    Buffer, BufferedDecoder, DecodeError, Decoder, DecoderBuffers, EventStream, FieldName, FixedDecoder, Lexer, Limits,
    MessageEvent, SliceBuffer, SliceDecoder, StreamError, Token,
};

use crate::reference::{self, Dispatched, Exceeded, ReferenceLimits};

/// The result of decoding an event stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// The events, and the errors for events over a limit.
    pub items: Vec<Item>,
    /// The last event ID at the end.
    pub last_event_id: String,
    /// The reconnection time in milliseconds.
    pub reconnection_time: Option<u64>,
}

pub use crate::reference::Item;

/// The form of the decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `Decoder`, whose buffers grow.
    Growable,
    /// `FixedDecoder` with room for [`FIXED_DATA`] and [`FIXED_META`] bytes.
    Fixed,
    /// `SliceDecoder` over buffers of the same sizes.
    Slice,
    /// `EventStream`, whose events own their text.
    Stream,
}

/// All forms of the decoder.
pub const FORMS: [Form; 4] = [Form::Growable, Form::Fixed, Form::Slice, Form::Stream];
/// The maximum number of bytes of data in the fixed forms.
pub const FIXED_DATA: usize = 1024;
/// The maximum number of bytes of an event type and of an ID in the fixed forms.
pub const FIXED_META: usize = 512;

/// Decodes `chunks` with a decoder of this form.
pub fn decode<C: AsRef<[u8]>>(form: Form, limits: Limits, chunks: &[C]) -> Decoded {
    match form {
        Form::Growable => drive(&mut Decoder::with_limits(limits), chunks),
        Form::Fixed => drive(&mut FixedDecoder::<FIXED_DATA, FIXED_META>::with_limits(limits), chunks),
        Form::Slice => {
            // The initial bytes of the buffers must not matter.
            let (mut data, mut event_type) = ([0xAA; FIXED_DATA], [0xAA; FIXED_META]);
            let mut ids = [[0xAA; FIXED_META]; 3];
            let buffers = DecoderBuffers {
                data: SliceBuffer::new(&mut data),
                event_type: SliceBuffer::new(&mut event_type),
                last_event_id: ids.each_mut().map(|id| SliceBuffer::new(id)),
            };
            drive(&mut SliceDecoder::with_buffers(buffers, limits), chunks)
        }
        Form::Stream => drive_stream(limits, chunks),
    }
}

/// Decodes with the reference, with the limits of this form.
pub fn expected(form: Form, limits: Limits, input: &[u8]) -> Decoded {
    let (data, meta) = match form {
        Form::Growable | Form::Stream => (usize::MAX, usize::MAX),
        Form::Fixed | Form::Slice => (FIXED_DATA, FIXED_META),
    };
    let limits = ReferenceLimits {
        data: limits.data.min(data),
        event_type: limits.event_type.min(meta),
        last_event_id: limits.last_event_id.min(meta),
    };
    let reference::Decoded { items, last_event_id, reconnection_time, .. } = reference::decode(input, limits);
    Decoded { items, last_event_id, reconnection_time }
}

/// Feeds `chunks` to `decoder` and collects the results.
pub fn drive<D: Buffer, M: Buffer, C: AsRef<[u8]>>(decoder: &mut BufferedDecoder<D, M>, chunks: &[C]) -> Decoded {
    let limits = decoder.limits();
    let mut items = Vec::new();
    for chunk in chunks {
        let mut chunk = chunk.as_ref();
        loop {
            match decoder.next_event(&mut chunk) {
                Ok(Some(event)) => items.push(Item::Event(dispatched(event))),
                Ok(None) => break,
                Err(error) => items.push(Item::Exceeded(exceeded(error))),
            }
        }
        assert!(chunk.is_empty(), "a chunk was not used up");
    }
    for item in &items {
        if let Item::Event(event) = item {
            assert!(event.data.len() <= limits.data, "data over its limit");
            assert!(event.event_type.len() <= limits.event_type.max("message".len()), "event type over its limit");
            assert!(event.last_event_id.len() <= limits.last_event_id, "id over its limit");
        }
    }
    Decoded {
        items,
        last_event_id: decoder.last_event_id().to_owned(),
        reconnection_time: decoder.reconnection_time().map(|time| u64::try_from(time.as_millis()).unwrap()),
    }
}

fn drive_stream<C: AsRef<[u8]>>(limits: Limits, chunks: &[C]) -> Decoded {
    let chunks = chunks.iter().map(|chunk| Ok::<_, Infallible>(Bytes::copy_from_slice(chunk.as_ref())));
    let mut events = EventStream::with_limits(stream::iter(chunks), limits);
    let mut items = Vec::new();
    while let Some(item) = events.next().now_or_never().expect("the chunks are all there") {
        items.push(match item {
            Ok(event) => Item::Event(dispatched(event.as_message_event())),
            Err(StreamError::Decode(error)) => Item::Exceeded(exceeded(error)),
            Err(error) => panic!("{error}"),
        });
    }
    Decoded {
        items,
        last_event_id: events.last_event_id().to_owned(),
        reconnection_time: events.reconnection_time().map(|time| u64::try_from(time.as_millis()).unwrap()),
    }
}

fn dispatched(event: MessageEvent<'_>) -> Dispatched {
    Dispatched {
        event_type: event.event_type.to_owned(),
        data: event.data.to_owned(),
        last_event_id: event.last_event_id.to_owned(),
    }
}

fn exceeded(error: DecodeError) -> Exceeded {
    match error {
        DecodeError::DataTooLong { .. } => Exceeded::Data,
        DecodeError::EventTypeTooLong { .. } => Exceeded::EventType,
        DecodeError::LastEventIdTooLong { .. } => Exceeded::LastEventId,
        error => panic!("{error}"),
    }
}

/// Returns the lines of a stream as the lexer sees them: field name, value, and whether the line ended. A blank line is `None`.
pub fn lines<C: AsRef<[u8]>>(chunks: &[C]) -> Vec<Option<(FieldName, Vec<u8>, bool)>> {
    let mut lexer = Lexer::new();
    let mut lines: Vec<Option<(FieldName, Vec<u8>, bool)>> = Vec::new();
    for chunk in chunks {
        let mut chunk = chunk.as_ref();
        while let Some(token) = lexer.next_token(&mut chunk) {
            let Token::Value(fragment) = token else {
                assert!(lines.last().and_then(Option::as_ref).is_none_or(|line| line.2), "a line was left open");
                lines.push(None);
                continue;
            };
            if fragment.is_first {
                assert!(lines.last().and_then(Option::as_ref).is_none_or(|line| line.2), "a line was left open");
                lines.push(Some((fragment.field, Vec::new(), false)));
            } else {
                assert!(fragment.is_last || !fragment.bytes.is_empty(), "a fragment in between is empty");
            }
            let Some(Some((field, value, is_over))) = lines.last_mut() else { panic!("a fragment with no first") };
            assert_eq!(*field, fragment.field, "a line changed its kind");
            assert!(!*is_over, "a fragment behind the last one");
            value.extend_from_slice(fragment.bytes);
            *is_over = fragment.is_last;
        }
        assert!(chunk.is_empty(), "a chunk was not used up");
    }
    lines
}
