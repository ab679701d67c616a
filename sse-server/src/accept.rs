//! Whether the `Accept` header of a request names an event stream.

/// Returns whether one of the `Accept` header fields (RFC 9110, section 12.5.1) names `text/event-stream` with a weight
/// above 0. Wildcards do not count.
pub(crate) fn wants_event_stream<'a>(accept: impl IntoIterator<Item = &'a [u8]>) -> bool {
    accept.into_iter().flat_map(|value| value.split(|byte| *byte == b',')).any(|range| {
        let mut parts = range.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let is_named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(b"text/event-stream"));
        is_named && !parts.any(is_weight_of_zero)
    })
}

/// Returns whether a parameter is `q=0`, with any number of zero decimals.
fn is_weight_of_zero(parameter: &[u8]) -> bool {
    let Some((name, value)) = parameter.split_at_checked(2) else { return false };
    name.eq_ignore_ascii_case(b"q=") && value.starts_with(b"0") && value.iter().all(|byte| matches!(byte, b'0' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::wants_event_stream;

    #[test]
    fn only_a_named_event_stream_with_a_weight_above_zero_counts() {
        let cases: [(&[&str], bool); 12] = [
            (&[], false),
            (&[""], false),
            (&["text/event-stream"], true),
            (&["application/json", "text/event-stream"], true),
            (&[" application/json ,\ttext/event-stream ; charset=utf-8 "], true),
            (&["text/event-stream;q=0.001"], true),
            (&["text/event-stream;q=0.000"], false),
            (&["text/event-stream;Q=0"], false),
            (&["text/event-stream;q="], true),
            (&["text/*"], false),
            (&["text/event-streams"], false),
            (&["text/event-stream;v=q=0"], true),
        ];
        for (values, expected) in cases {
            assert_eq!(wants_event_stream(values.iter().map(|value| value.as_bytes())), expected, "{values:?}");
        }
    }
}
