//! Blocks of events from untrusted bytes.

use bytes::Bytes;
use proptest::prelude::*;
use ssekit_core::Decoder;
use ssekit_server::hub::NewEvent;

/// Pieces of lines that matter for blocks.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let pieces: Vec<&[u8]> = vec![
        b"\n",
        b"\r",
        b"\r\n",
        b"\n\n",
        b"id",
        b"id:",
        b"id: 9-9",
        b"data",
        b"data: x",
        b":",
        b": c",
        b" ",
        b"event: e",
        b"retry: 5",
        b"\xff",
        b"\xef\xbb\xbf",
        b"\0",
        b"idx: 1",
        b"\xc3",
        b"\xa9",
    ];
    prop::collection::vec(prop::sample::select(pieces), 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    /// An accepted block changes no ID, and the event after it stays intact.
    #[test]
    fn accepted_block_is_one_event_without_id(bytes in pieces()) {
        let Ok(publication) = NewEvent::from_block("a", Bytes::from(bytes.clone())) else { return Ok(()) };
        let block = publication.block().unwrap();
        prop_assert_eq!(block, &bytes[..]);
        let wire = [b"id: 7-1\n".as_slice(), block, b"id: 7-2\ndata: next\n\n"].concat();
        let (mut decoder, mut rest) = (Decoder::new(), &wire[..]);
        let mut ids = Vec::new();
        let mut last = None;
        while let Some(event) = decoder.next_event(&mut rest).unwrap() {
            ids.push(event.last_event_id.to_owned());
            last = Some((event.event_type.to_owned(), event.data.to_owned()));
        }
        prop_assert_eq!(last, Some(("message".to_owned(), "next".to_owned())));
        let (next, its) = ids.split_last().unwrap();
        prop_assert!(next == "7-2" && its.iter().all(|id| id == "7-1"), "{:?}", ids);
    }
}
