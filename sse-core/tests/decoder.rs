//! The decoder: limits, buffers, memory, reconnection.

use std::time::Duration;

use ssekit_core::{
    BufferFull, DecodeError, Decoder, DecoderBuffers, EventId, FixedBuffer, FixedDecoder, Lexer, Limits, SliceBuffer,
    SliceDecoder, event_id,
};

/// The events and errors in `input`, in order.
fn all<'c>(decoder: &mut Decoder, mut input: &'c [u8]) -> Vec<Result<(String, String, String), DecodeError>> {
    let mut all = Vec::new();
    let chunk: &mut &'c [u8] = &mut input;
    while let Some(result) = decoder.next_event(chunk).transpose() {
        all.push(result.map(|e| (e.event_type.to_owned(), e.data.to_owned(), e.last_event_id.to_owned())));
    }
    all
}

fn data(decoder: &mut Decoder, input: &[u8]) -> Vec<Result<String, DecodeError>> {
    all(decoder, input).into_iter().map(|result| result.map(|(_, data, _)| data)).collect()
}

#[test]
fn event_whole_in_chunk_is_a_slice_of_it() {
    let chunk = b"event: token\nid: 7\ndata: hello\n\n";
    let mut decoder = Decoder::new();
    let event = decoder.next_event(&mut &chunk[..]).unwrap().unwrap();
    let range = chunk.as_ptr_range();
    assert!(range.contains(&event.data.as_ptr()), "data was copied");
    assert!(range.contains(&event.event_type.as_ptr()), "event type was copied");
}

#[test]
fn event_over_limit_is_reported_at_once_and_dropped() {
    let limits = Limits { data: 4, event_type: 4, last_event_id: 4 };
    let mut decoder = Decoder::with_limits(limits);
    assert_eq!(decoder.limits(), limits);
    let too_long = DecodeError::DataTooLong { limit: 4 };

    // The error comes before the end of the line.
    assert_eq!(data(&mut decoder, b"id: 1\ndata: 12345"), [Err(too_long)]);
    assert_eq!(data(&mut decoder, b"6789\ndata: ignored\nevent: ignored\nid: ignored\n"), []);
    assert_eq!(data(&mut decoder, b"retry: 7\n\ndata: 1234\n\n"), [Ok("1234".to_owned())]);
    assert_eq!(decoder.last_event_id(), "", "the ID of the dropped event became the last event ID");
    assert_eq!(decoder.reconnection_time(), Some(Duration::from_millis(7)));

    // The LF between lines counts, and so does U+FFFD for an invalid byte.
    assert_eq!(data(&mut decoder, b"data: 12\ndata: 3\n\n"), [Ok("12\n3".to_owned())]);
    assert_eq!(data(&mut decoder, b"data: 12\ndata: 34\n\n"), [Err(too_long)]);
    assert_eq!(data(&mut decoder, b"data: 1\xFF\n\ndata: 1\xFF\xFF\n\n"), [Ok("1\u{FFFD}".to_owned()), Err(too_long)]);

    let names = b"event: 12345\ndata: x\n\nid: 12345\ndata: y\n\nid: 1234\0\ndata: z\n\nid: 12345\0\n\n";
    let errors = [DecodeError::EventTypeTooLong { limit: 4 }, DecodeError::LastEventIdTooLong { limit: 4 }];
    assert_eq!(data(&mut decoder, names), [Err(errors[0]), Err(errors[1]), Ok("z".to_owned()), Err(errors[1])]);
    assert_eq!(errors[1].to_string(), "event ID is longer than the limit `Limits::last_event_id` of 4 bytes");
}

#[test]
fn fixed_buffer_limits_event_that_needs_no_buffer() {
    let mut decoder = FixedDecoder::<4, 4>::new();
    assert_eq!(decoder.limits(), Limits { data: 4, event_type: 4, last_event_id: 4 });
    let mut chunk = &b"data: 12345\n\ndata: 1234\n\n"[..];
    assert_eq!(decoder.next_event(&mut chunk), Err(DecodeError::DataTooLong { limit: 4 }));
    assert_eq!(decoder.next_event(&mut chunk).unwrap().unwrap().data, "1234");
}

#[test]
fn used_buffers_of_different_sizes_limit_by_the_smallest() {
    use ssekit_core::Buffer;
    let (mut a, mut b, mut c, mut d, mut e) = ([7; 8], [7; 8], [7; 8], [7; 2], [7; 8]);
    let mut data = SliceBuffer::new(&mut a);
    data.push_str("old").unwrap();
    let buffers = DecoderBuffers {
        data,
        event_type: SliceBuffer::new(&mut b),
        last_event_id: [SliceBuffer::new(&mut c), SliceBuffer::new(&mut d), SliceBuffer::new(&mut e)],
    };
    let mut decoder = SliceDecoder::with_buffers(buffers, Limits::default());
    assert_eq!(decoder.limits(), Limits { data: 8, event_type: 8, last_event_id: 2 });
    let mut chunk = &b"data: a\ndata: b\n\n"[..];
    assert_eq!(decoder.next_event(&mut chunk).unwrap().unwrap().data, "a\nb");
}

#[test]
fn buffer_without_room_for_text_takes_none_of_it() {
    use ssekit_core::Buffer;
    let mut buffer = FixedBuffer::<3>::new();
    assert_eq!(buffer.push_str("é"), Ok(()));
    assert_eq!(buffer.push_str("é"), Err(BufferFull));
    assert_eq!((buffer.as_str(), buffer.len(), buffer.max_len()), ("é", 2, 3));
    assert_eq!(buffer.replace("four"), Err(BufferFull));
    assert_eq!(format!("{buffer:?}"), "\"é\"");
    assert_eq!(buffer.replace("xyz"), Ok(()));
    assert_eq!(buffer.as_str(), "xyz");
    buffer.clear();
    assert!(buffer.is_empty());
}

/// A buffer that fails for text with an exclamation mark.
#[derive(Default)]
struct Failing(String);

impl ssekit_core::Buffer for Failing {
    fn max_len(&self) -> usize {
        usize::MAX
    }
    fn as_str(&self) -> &str {
        &self.0
    }
    fn len(&self) -> usize {
        self.0.len()
    }
    fn replace(&mut self, text: &str) -> Result<(), BufferFull> {
        if text.contains('!') {
            return Err(BufferFull);
        }
        text.clone_into(&mut self.0);
        Ok(())
    }
    fn push_str(&mut self, text: &str) -> Result<(), BufferFull> {
        if text.contains('!') {
            return Err(BufferFull);
        }
        self.0.push_str(text);
        Ok(())
    }
    fn clear(&mut self) {
        self.0.clear();
    }
}

#[test]
fn event_without_memory_is_dropped_and_last_id_stays() {
    let mut decoder = ssekit_core::BufferedDecoder::<Failing, Failing>::new();
    let stream = b"id: 1\ndata: a\n\nid: 2!\ndata: b\n\ndata: c!\ndata: c\n\nevent: \xFF!\ndata: d\n\ndata: e\n\n";
    for chunk_size in [1, 3, 19, stream.len()] {
        decoder.reconnect();
        let (mut seen, mut errors) = (String::new(), 0);
        for mut chunk in stream.chunks(chunk_size) {
            while let Some(result) = decoder.next_event(&mut chunk).transpose() {
                match result {
                    Ok(event) => seen += &format!("{}@{} ", event.data, event.last_event_id),
                    Err(error) => {
                        assert_eq!(error, DecodeError::OutOfMemory);
                        errors += 1;
                    }
                }
            }
        }
        assert_eq!((seen.as_str(), errors), ("a@1 e@1 ", 3), "in chunks of {chunk_size}");
    }
}

#[test]
fn reconnect_inside_event_keeps_only_id_and_reconnection_time() {
    let mut decoder = Decoder::new();
    assert_eq!(decoder.last_event_id(), "");
    assert_eq!(decoder.reconnection_time(), None);
    let first = b"\xEF\xBB\xBFretry: 5\nid: 1\ndata: x\n\nid: 2\nevent: half\ndata: half\ndata: h\xE2\x82";
    assert_eq!(data(&mut decoder, first), [Ok("x".to_owned())]);
    decoder.reconnect();
    assert_eq!((decoder.last_event_id(), decoder.reconnection_time()), ("1", Some(Duration::from_millis(5))));
    // The byte order mark is ignored again, and an LF after the reconnection does not belong to a CR before it.
    let second = b"\xEF\xBB\xBFdata: y\n\n";
    assert_eq!(all(&mut decoder, second), [Ok(("message".to_owned(), "y".to_owned(), "1".to_owned()))]);
    assert_eq!(data(&mut decoder, b"data: z\r"), []);
    decoder.reconnect();
    assert_eq!(data(&mut decoder, b"\ndata: z\n\n"), [Ok("z".to_owned())]);
    // A character that is cut off by the reconnection does not continue after it, even in pieces.
    assert_eq!(data(&mut decoder, b"data: h\xE2\x82"), []);
    decoder.reconnect();
    let pieces: Vec<_> = b"data: \xACx\n\n".chunks(1).flat_map(|piece| data(&mut decoder, piece)).collect();
    assert_eq!(pieces, [Ok("\u{FFFD}x".to_owned())]);
    // An event over a limit is forgotten too.
    let mut decoder = Decoder::with_limits(Limits { data: 1, ..Limits::default() });
    assert!(data(&mut decoder, b"data: xx")[0].is_err());
    decoder.reconnect();
    assert_eq!(data(&mut decoder, b"data: y\n\n"), [Ok("y".to_owned())]);
}

#[test]
fn last_event_id_set_by_caller_is_used_within_its_limit() {
    let mut decoder = Decoder::with_limits(Limits { last_event_id: 4, ..Limits::default() });
    assert_eq!(decoder.set_last_event_id(event_id!("1234")), Ok(()));
    assert_eq!(decoder.set_last_event_id(event_id!("41")), Ok(()));
    let too_long = DecodeError::LastEventIdTooLong { limit: 4 };
    assert_eq!(decoder.set_last_event_id(event_id!("12345")), Err(too_long));
    assert_eq!(all(&mut decoder, b"data: x\n\n")[0].as_ref().unwrap().2, "41");
    assert_eq!(all(&mut decoder, b"id\ndata: x\n\n")[0].as_ref().unwrap().2, "");
    let id = EventId::new("x").unwrap();
    // It can also be set between two lines of an event.
    assert_eq!(data(&mut decoder, b"data: y\n"), []);
    assert_eq!(decoder.set_last_event_id(id), Ok(()));
    assert_eq!(all(&mut decoder, b"\n")[0].as_ref().unwrap().2, "x");
}

#[test]
fn shrink_inside_event_frees_memory_and_keeps_text() {
    let mut decoder = Decoder::new();
    let large = ["data: ", &"x".repeat(1 << 20), "\ndata: y\n\nid: 1\ndata: half"].concat();
    assert_eq!(data(&mut decoder, large.as_bytes()).len(), 1);
    decoder.shrink_to_fit();
    assert_eq!(data(&mut decoder, b"\n\n"), [Ok("half".to_owned())]);
    decoder.shrink_to_fit();
    assert_eq!(decoder.last_event_id(), "1");
    let buffers = decoder.into_buffers();
    assert!(buffers.data.capacity() == 0, "{} bytes", buffers.data.capacity());
}

#[test]
fn shrink_directly_after_event_frees_memory_and_keeps_id() {
    let mut decoder = Decoder::new();
    let large = ["event: x\nid: 7\ndata: ", &"x".repeat(1 << 20), "\ndata: y\n\n"].concat();
    for chunk in large.as_bytes().chunks(3) {
        let mut chunk = chunk;
        while decoder.next_event(&mut chunk).unwrap().is_some() {}
    }
    let mut chunk = large.as_bytes();
    assert!(decoder.next_event(&mut chunk).unwrap().is_some());
    decoder.shrink_to_fit();
    assert_eq!(decoder.last_event_id(), "7");
    let buffers = decoder.into_buffers();
    let held: usize = buffers.last_event_id.iter().map(String::capacity).sum();
    assert_eq!((buffers.data.capacity(), buffers.event_type.capacity()), (0, 1));
    assert!(held <= 3, "{held} bytes for IDs");
}

#[test]
fn endless_line_of_any_kind_takes_bounded_memory() {
    let limits = Limits { data: 1000, event_type: 100, last_event_id: 100 };
    for head in [": ", "unknown: ", "", "retry: ", "data: ", "event: ", "id: ", "id: 1\0", "data: é"] {
        for size in [1, 64, 4096] {
            let mut decoder = Decoder::with_limits(limits);
            let mut stream = head.as_bytes().to_vec();
            stream.resize(1 << 20, b'7');
            stream.extend_from_slice(b"\n\n");
            for mut chunk in stream.chunks(size) {
                while decoder.next_event(&mut chunk).transpose().is_some() {}
            }
            let buffers = decoder.into_buffers();
            let ids: usize = buffers.last_event_id.iter().map(String::capacity).sum();
            let held = buffers.data.capacity() + buffers.event_type.capacity() + ids;
            assert!(held <= 2 * (1000 + 4 * 100), "{held} bytes after {head:?} in chunks of {size}");
        }
    }
}

#[test]
fn decoder_with_used_buffers_starts_empty() {
    let mut decoder = Decoder::new();
    let mut chunk = &b"id: 7\nevent: x\ndata: x\n\nid: 8\nevent: y\ndata: y"[..];
    while decoder.next_event(&mut chunk).unwrap().is_some() {}
    let mut decoder = Decoder::with_buffers(decoder.into_buffers(), Limits::default());
    assert_eq!(decoder.last_event_id(), "");
    let event = ("message".to_owned(), "z".to_owned(), String::new());
    assert_eq!(all(&mut decoder, b"data: z\n\n"), [Ok(event)]);
}

#[test]
fn id_over_limit_by_character_before_nul_is_an_error() {
    let mut decoder = Decoder::with_limits(Limits { last_event_id: 2, ..Limits::default() });
    let too_long = DecodeError::LastEventIdTooLong { limit: 2 };
    assert_eq!(data(&mut decoder, b"id: 12\xE2\0"), [Err(too_long)]);
}

#[test]
fn id_with_nul_in_later_chunk_is_ignored() {
    for cut in 0..26 {
        let mut decoder = Decoder::new();
        let (a, b) = b"id: 1\nid: 2\0 and\nid: 3\xFF\0\ndata: x\n\n".split_at(cut);
        let mut events = all(&mut decoder, a);
        events.extend(all(&mut decoder, b));
        assert_eq!(events[0].as_ref().unwrap().2, "1", "cut at {cut}");
    }
}

#[test]
fn lexer_is_at_most_four_bytes() {
    assert!(size_of::<Lexer>() <= 4);
}

#[test]
fn event_with_every_field_in_one_chunk_borrows_from_it() {
    let stream = "event: sum\nretry: 5\ndata: 1 + 1\n: a comment\nunknown\nretry: 6\nid: 7\n\n";
    let mut decoder = Decoder::new();
    let mut chunk = stream.as_bytes();
    let event = decoder.next_event(&mut chunk).unwrap().unwrap();
    for text in [event.event_type, event.data, event.last_event_id] {
        assert!(stream.as_bytes().as_ptr_range().contains(&text.as_ptr()), "{text:?} was copied");
    }
    assert_eq!((event.event_type, event.data, event.last_event_id), ("sum", "1 + 1", "7"));
    assert_eq!(decoder.reconnection_time(), Some(Duration::from_millis(6)));
}
