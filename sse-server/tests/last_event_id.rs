//! Where a client that reconnects says it has stopped.

use ssekit_server::{LastEventId, LastEventIdError};

fn from(header: Option<&[u8]>, query: Option<&str>) -> Result<Option<String>, LastEventIdError> {
    LastEventId::from_request(header, query).map(|id| id.map(|id| id.to_string()))
}

#[test]
fn the_header_comes_first_then_the_query() {
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
fn it_can_be_made_for_a_test_of_a_handler() {
    let id = LastEventId::try_from("41").unwrap();
    assert_eq!(String::from(id), "41");
    assert_eq!(LastEventId::try_from("4\n1").unwrap_err(), from(Some(b"4\n1"), None).unwrap_err());
}

#[test]
fn what_cannot_be_an_id_is_malformed_and_says_why() {
    let longest = "x".repeat(LastEventId::MAX_LEN);
    assert_eq!(from(Some(longest.as_bytes()), None), Ok(Some(longest.clone())));
    let text = |header: Option<&[u8]>, query: Option<&str>| from(header, query).unwrap_err().to_string();
    let longer = longest + "x";
    let too_long = "last event id is malformed: it has 257 bytes, of 256 at the most";
    assert_eq!(text(Some(longer.as_bytes()), None), too_long);
    assert_eq!(text(None, Some(&format!("lastEventId={longer}"))), too_long);
    assert_eq!(text(Some(b"ab\xFF"), None), "last event id is malformed: it is not utf-8 at byte 2");
    assert_eq!(text(None, Some("lastEventId=a%FFb")), "last event id is malformed: it is not utf-8 at byte 1");
    for (query, what) in [
        ("last_event_id=a%0Adata:x", "line feed (0x0a)"),
        ("lastEventId=a%0D", "carriage return (0x0d)"),
        ("lastEventId=a%00", "null character (0x00)"),
    ] {
        assert_eq!(text(None, Some(query)), format!("last event id is malformed: id has a {what} at byte 1"));
    }
}
