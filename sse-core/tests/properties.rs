//! The properties, on inputs from proptest.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use ssekit_core::Limits;
use ssekit_testkit::{cut, props, strategies};

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn stream_at_any_cuts_decodes_like_the_reference(
        stream in strategies::stream(),
        sizes in vec(0..9_u8, 0..6),
    ) {
        props::check_decoding(&stream, &cut::by_sizes(&stream, &sizes), Limits::default());
    }

    #[test]
    fn stream_with_limits_at_any_cuts_decodes_like_the_reference(
        stream in strategies::stream(),
        sizes in vec(0..9_u8, 0..6),
        data in 0..24_usize,
        event_type in 0..12_usize,
        last_event_id in 0..12_usize,
    ) {
        let limits = Limits { data, event_type, last_event_id };
        props::check_decoding(&stream, &cut::by_sizes(&stream, &sizes), limits);
    }

    #[test]
    fn bytes_decode_like_the_reference(input in vec(any::<u8>(), 0..200)) {
        props::decodes_like_the_reference(&input);
        props::keeps_limits(&input);
    }

    #[test]
    fn encoded_event_decodes_to_the_same_values(
        data in option::of(strategies::text()),
        event_type in option::of(strategies::event_type()),
        id in option::of(strategies::event_id()),
        comment in option::of(strategies::text()),
        retry in option::of(any::<u64>()),
    ) {
        let (data, comment) = (data.as_deref(), comment.as_deref());
        props::check_round_trip(data, event_type.as_deref(), id.as_deref(), comment, retry);
    }

    #[test]
    fn text_with_line_breaks_forges_no_field(
        data in strategies::text(),
        event_type in strategies::text(),
        id in strategies::text(),
        comment in strategies::text(),
    ) {
        props::check_round_trip(Some(&data), Some(&event_type), Some(&id), Some(&comment), None);
    }

    #[test]
    fn data_in_pieces_encodes_as_in_one(text in strategies::text(), sizes in vec(0..4_u8, 0..6)) {
        props::check_pieces(&text, &sizes);
    }
}
