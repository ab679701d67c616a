//! The table of conformance cases: every form of the decoder, at every cut, compared with the table.

use ssekit_core::{FieldName, Limits};
use ssekit_testkit::cases::{self, Case};
use ssekit_testkit::decode::{Decoded, FIXED_DATA, FIXED_META, FORMS, Form, Item, decode, lines};
use ssekit_testkit::{cut, reference};

/// A case of at most this many bytes is cut at every pair of positions.
const SHORT: usize = 96;
/// A case of more bytes is not cut at every position, which would take minutes. It is cut near line ends, where the
/// state of the decoder changes, and at some other positions.
const LONG: usize = 8 << 10;

fn check(case: &Case, form: Form, chunks: &[&[u8]]) {
    let decoded = decode(form, Limits::NONE, chunks);
    if decoded.items != case.expected.items
        || decoded.last_event_id != case.expected.last_event_id
        || (decoded.reconnection_time != case.expected.reconnection_time && !case.any_reconnection_time)
    {
        let sizes: Vec<_> = chunks.iter().map(|chunk| chunk.len()).take(9).collect();
        panic!("{} in chunks of {sizes:?} by {form:?}: {decoded:.300?}, not {:.300?}", case.name, case.expected);
    }
}

/// The forms that can decode the case. Cases that are too large for the fixed buffers are for the tests of limits.
fn forms(expected: &Decoded) -> impl Iterator<Item = Form> {
    let fits = expected.items.iter().all(|item| match item {
        Item::Event(event) => {
            event.data.len() <= FIXED_DATA
                && event.event_type.len() <= FIXED_META
                && event.last_event_id.len() <= FIXED_META
        }
        Item::Exceeded(_) => false,
    });
    FORMS.into_iter().filter(move |form| fits || matches!(form, Form::Growable | Form::Stream))
}

#[test]
fn reference_decodes_every_case_as_in_the_table() {
    for case in cases::all() {
        let reference = reference::decode(&case.input, reference::ReferenceLimits::NONE);
        assert_eq!(reference.items, case.expected.items, "{}", case.name);
        assert_eq!(reference.last_event_id, case.expected.last_event_id, "{}", case.name);
        if !case.any_reconnection_time {
            assert_eq!(reference.reconnection_time, case.expected.reconnection_time, "{}", case.name);
        }
        if let Some(comments) = case.comments {
            assert_eq!(reference.comments, comments, "{}", case.name);
        }
    }
}

#[test]
fn cases_decode_whole_and_byte_by_byte_and_in_their_chunks() {
    for case in cases::all() {
        for form in forms(&case.expected) {
            check(&case, form, &[&case.input]);
            check(&case, form, &case.input.chunks(1).collect::<Vec<_>>());
            if !case.chunks.is_empty() {
                check(&case, form, &case.chunks.iter().map(Vec::as_slice).collect::<Vec<_>>());
            }
        }
    }
}

#[test]
fn cases_decode_the_same_at_every_cut() {
    for case in cases::all() {
        for form in forms(&case.expected) {
            if case.input.len() <= LONG {
                cut::everywhere(&case.input, |chunks| check(&case, form, chunks));
                continue;
            }
            let ends = (0..case.input.len()).filter(|&at| matches!(case.input[at], b'\r' | b'\n' | b':'));
            let near_ends = ends.take(50).flat_map(|at| [at, at + 1]);
            for at in near_ends.chain((0..64).map(|part| part * case.input.len() / 64)) {
                let (a, b) = case.input.split_at(at);
                check(&case, form, &[a, b]);
            }
        }
    }
}

#[test]
fn short_cases_decode_the_same_at_every_pair_of_cuts() {
    for case in cases::all().iter().filter(|case| case.input.len() <= SHORT) {
        for form in forms(&case.expected) {
            cut::at_every_pair(&case.input, |chunks| check(case, form, chunks));
        }
    }
}

#[test]
fn lexer_returns_the_same_lines_at_every_cut() {
    for case in cases::all().iter().filter(|case| case.input.len() <= LONG) {
        let whole = lines(&[&case.input]);
        cut::everywhere(&case.input, |chunks| assert_eq!(lines(chunks), whole, "{}", case.name));
        if let Some(expected) = &case.comments {
            let comments =
                whole.into_iter().flatten().filter(|(line, _, is_over)| *line == FieldName::Comment && *is_over);
            let comments: Vec<_> = comments.map(|(_, text, _)| String::from_utf8_lossy(&text).into_owned()).collect();
            assert_eq!(&comments, expected, "{}", case.name);
        }
    }
}
