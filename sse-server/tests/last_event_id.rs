//! The last event ID of a request, from its header or its query.

use ssekit_server::{LastEventId, SseRequest, SseRequestRejection};

fn from(header: Option<&[u8]>, query: Option<&str>) -> Result<Option<String>, SseRequestRejection> {
    let request = SseRequest::from_fields("GET", header, [], query)?;
    Ok(request.last_event_id().map(ToString::to_string))
}

#[test]
fn id_comes_from_the_header_before_the_query() {
    let id = |text: &str| Ok(Some(text.to_owned()));
    assert_eq!(from(None, None), Ok(None));
    assert_eq!(from(Some(b""), Some("")), Ok(None));
    assert_eq!(from(Some(b"1"), Some("last_event_id=2&lastEventId=3")), id("1"));
    assert_eq!(from(Some(b""), Some("lastEventId=3&last_event_id=2")), id("2"));
    assert_eq!(from(None, Some("a=b&lastEventId=3")), id("3"));
    assert_eq!(from(None, Some("last_event_id=&lastEventId=3")), id("3"));
    assert_eq!(from(None, Some("last_event_id&lasteventid=3")), Ok(None));
    assert_eq!(from(None, Some("last_event_id=a%2Bb+%E6%BC%A2")), id("a+b 漢"));
    assert_eq!(from(Some("漢字 1".as_bytes()), None), id("漢字 1"));
}

#[test]
fn id_made_by_try_from_is_checked() {
    let id = LastEventId::try_from("41").unwrap();
    assert_eq!(String::from(id), "41");
    let error = LastEventId::try_from("4\n1").unwrap_err();
    assert_eq!(from(Some(b"4\n1"), None), Err(SseRequestRejection::Malformed(error)));
}

#[test]
fn invalid_id_is_rejected_with_the_reason() {
    let longest = "x".repeat(LastEventId::MAX_LEN);
    assert_eq!(from(Some(longest.as_bytes()), None), Ok(Some(longest.clone())));
    let text = |header: Option<&[u8]>, query: Option<&str>| from(header, query).unwrap_err().to_string();
    let longer = longest + "x";
    let too_long = "malformed last event id: it has 257 bytes, the limit is 256";
    assert_eq!(text(Some(longer.as_bytes()), None), too_long);
    assert_eq!(text(None, Some(&format!("lastEventId={longer}"))), too_long);
    assert_eq!(text(Some(b"ab\xFF"), None), "malformed last event id: invalid utf-8 at byte 2");
    assert_eq!(text(None, Some("lastEventId=a%FFb")), "malformed last event id: invalid utf-8 at byte 1");
    for (query, what) in [
        ("last_event_id=a%0Adata:x", "line feed (0x0a)"),
        ("lastEventId=a%0D", "carriage return (0x0d)"),
        ("lastEventId=a%00", "null character (0x00)"),
    ] {
        assert_eq!(
            text(None, Some(query)),
            format!("malformed last event id: invalid event ID: a {what} at byte 1 is not allowed")
        );
    }
}
