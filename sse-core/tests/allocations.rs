//! Counts of allocations.

use ssekit_core::{
    Decoder, EncodedEvent, Event, EventWriter, FixedDecoder, SliceDecoder, SliceWriter, event_id, event_type,
};

ssekit_testkit::count_allocations!();

/// Events of every kind: whole in a chunk, with several lines, not UTF-8, with IDs and types.
const STREAM: &[u8] =
    b": hi\n\nevent: token\nid: 17\ndata: {\"text\":\"caf\xC3\xA9\"}\n\ndata: one\ndata: two\r\ndata: \xFF\r\n\r\n\
    id: 18\n\nretry: 3000\rdata: x\r\rdata: unfinished";

fn count<T, E>(chunk_size: usize, mut next: impl FnMut(&mut &[u8]) -> Result<Option<T>, E>) -> usize {
    let mut events = 0;
    for mut chunk in STREAM.chunks(chunk_size) {
        while let Ok(Some(_)) = next(&mut chunk) {
            events += 1;
        }
    }
    events
}

#[test]
fn counter_of_one_vector_is_one() {
    assert_eq!(allocations(|| vec![1_u8]).1, 1);
    assert_eq!(allocations(|| 1).1, 0);
}

#[test]
fn decoder_over_fixed_buffers_allocates_nothing() {
    for chunk_size in [1, 2, 7, 64, STREAM.len()] {
        let (events, allocated) = allocations(|| {
            let mut decoder = FixedDecoder::<64, 16>::new();
            count(chunk_size, |chunk| decoder.next_event(chunk).map(|event| event.map(drop)))
        });
        assert_eq!((events, allocated), (3, 0), "fixed, in chunks of {chunk_size}");
        let (events, allocated) = allocations(|| {
            let (mut data, mut meta) = ([0; 64], [0; 64]);
            let mut decoder = SliceDecoder::from_slices(&mut data, &mut meta);
            count(chunk_size, |chunk| decoder.next_event(chunk).map(|event| event.map(drop)))
        });
        assert_eq!((events, allocated), (3, 0), "slices, in chunks of {chunk_size}");
    }
}

#[test]
fn decoder_with_grown_buffers_allocates_nothing() {
    for chunk_size in [1, 2, 7, 64, STREAM.len()] {
        let mut decoder = Decoder::new();
        // The ID buffers change places, so all of them are large only after a few streams.
        for _ in 0..4 {
            count(chunk_size, |chunk| decoder.next_event(chunk).map(|event| event.map(drop)));
            decoder.reconnect();
        }
        let (events, allocated) = allocations(|| {
            let mut events = 0;
            for _ in 0..100 {
                events += count(chunk_size, |chunk| decoder.next_event(chunk).map(|event| event.map(drop)));
                decoder.reconnect();
            }
            events
        });
        assert_eq!((events, allocated), (300, 0), "in chunks of {chunk_size}");
    }
}

#[test]
fn encoding_into_slice_allocates_nothing() {
    let event = Event::data("two\r\nlines")
        .with_event_type(event_type!("note"))
        .with_id(event_id!("7"))
        .with_comment("a\nb")
        .with_reconnection_time(std::time::Duration::from_secs(3));
    let mut buffer = [0; 256];
    let (written, allocated) = allocations(|| {
        let n = event.encode_to_slice(&mut buffer).unwrap();
        let mut pieces = [0; 256];
        let mut writer = EventWriter::new(SliceWriter::new(&mut pieces), &event).unwrap();
        std::fmt::Write::write_str(&mut writer, "\nthree").unwrap();
        n + writer.finish().unwrap().written().len()
    });
    assert!(written > 100);
    assert_eq!(allocated, 0);
}

#[test]
fn encoded_event_takes_one_allocation_and_small_event_into_writer_none() {
    let event = Event::data("two\r\nlines");
    let (encoded, allocated) = allocations(|| EncodedEvent::from(&event));
    assert_eq!(allocated, 1);
    let (_, allocated) = allocations(|| (encoded.clone(), encoded.clone(), encoded.clone()));
    assert!(allocated <= 1, "{allocated} allocations: clones share, and the first can allocate the reference count");
    let (result, allocated) = allocations(|| event.encode_to_writer(&mut std::io::sink()));
    assert!(result.is_ok());
    assert_eq!(allocated, 0);
}

#[test]
fn event_stream_allocates_at_most_once_per_chunk() {
    use futures_util::{FutureExt, StreamExt, stream};

    // Owned bytes, as from a socket. No IDs, because IDs are copied.
    let chunk = b"event: token\ndata: {\"text\":\"hello\"}\n\ndata: [DONE]\n\n".repeat(50);
    let chunk = bytes::Bytes::from(chunk);
    let mut events = ssekit_core::EventStream::new(stream::iter([Ok::<_, ()>(chunk)]));
    let (count, allocated) = allocations(|| {
        let mut count = 0;
        while let Some(Some(Ok(_))) = events.next().now_or_never() {
            count += 1;
        }
        count
    });
    assert_eq!(count, 100);
    assert!(allocated <= 1, "{allocated} allocations: only the reference count of the chunk is expected");
}
