/// Whether a request asks for an event stream: one of its `Accept` header fields (RFC 9110, section 12.5.1) names
/// `text/event-stream`, with a weight above 0.
///
/// A wildcard does not ask for it: `*/*`, which clients send that ask for nothing in particular, leaves the choice to
/// the handler. An EventSource always asks.
///
/// ```
/// use ssekit_server::wants_event_stream;
///
/// assert!(wants_event_stream([b"text/event-stream".as_slice()]));
/// assert!(wants_event_stream([b"application/json, Text/Event-Stream; q=0.5".as_slice()]));
/// assert!(!wants_event_stream([b"*/*".as_slice()]));
/// assert!(!wants_event_stream([b"text/event-stream;q=0, application/json".as_slice()]));
/// ```
pub fn wants_event_stream<'a>(accept: impl IntoIterator<Item = &'a [u8]>) -> bool {
    accept.into_iter().flat_map(|value| value.split(|byte| *byte == b',')).any(|range| {
        let mut parts = range.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let is_named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(b"text/event-stream"));
        is_named && !parts.any(is_weight_of_zero)
    })
}

/// `q=0`, or with up to three decimals that are 0.
fn is_weight_of_zero(parameter: &[u8]) -> bool {
    let Some((name, value)) = parameter.split_at_checked(2) else { return false };
    name.eq_ignore_ascii_case(b"q=") && value.starts_with(b"0") && value.iter().all(|byte| matches!(byte, b'0' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::wants_event_stream;

    #[test]
    fn only_what_names_it_asks_for_it() {
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
