//! The table of conformance cases, `vectors/decoding.json`.

use serde::Deserialize;

use crate::decode::{Decoded, Item};
use crate::reference::Dispatched;

/// One case: what comes in, and what must come out however it is cut.
#[derive(Debug)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// The event stream.
    pub input: Vec<u8>,
    /// One way to cut it, where the case has one.
    pub chunks: Vec<Vec<u8>>,
    /// What it decodes to.
    pub expected: Decoded,
    /// Whether any reconnection time is right.
    pub any_reconnection_time: bool,
    /// The comments, where the case lists them.
    pub comments: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Raw {
    name: String,
    input: Option<String>,
    input_hex: Option<String>,
    input_parts: Option<Vec<(String, usize)>>,
    #[serde(default)]
    chunks: Vec<String>,
    #[serde(default)]
    chunks_hex: Vec<String>,
    events: Vec<RawEvent>,
    retry: Option<u64>,
    #[serde(default)]
    retry_any: bool,
    #[serde(rename = "lastEventId")]
    last_event_id: String,
    comments: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct RawEvent {
    #[serde(rename = "type")]
    event_type: String,
    data: Option<String>,
    data_parts: Option<Vec<(String, usize)>>,
    #[serde(rename = "lastEventId")]
    last_event_id: String,
}

/// All cases.
pub fn all() -> Vec<Case> {
    let raw: Vec<Raw> = serde_json::from_str(include_str!("../vectors/decoding.json")).unwrap();
    assert!(raw.len() >= 256, "the table has shrunk");
    raw.into_iter().map(case).collect()
}

fn case(raw: Raw) -> Case {
    let input = match (raw.input, raw.input_hex, raw.input_parts) {
        (Some(text), None, None) => text.into_bytes(),
        (None, Some(hex), None) => from_hex(&hex),
        (None, None, Some(parts)) => from_parts(&parts).into_bytes(),
        _ => panic!("{}: one kind of input is wanted", raw.name),
    };
    let items = raw
        .events
        .into_iter()
        .map(|event| {
            Item::Event(Dispatched {
                event_type: event.event_type,
                data: event.data.unwrap_or_else(|| from_parts(&event.data_parts.unwrap())),
                last_event_id: event.last_event_id,
            })
        })
        .collect();
    let chunks = raw.chunks.into_iter().map(String::into_bytes);
    Case {
        name: raw.name,
        input,
        chunks: chunks.chain(raw.chunks_hex.iter().map(|hex| from_hex(hex))).collect(),
        expected: Decoded { items, last_event_id: raw.last_event_id, reconnection_time: raw.retry },
        any_reconnection_time: raw.retry_any,
        comments: raw.comments,
    }
}

fn from_parts(parts: &[(String, usize)]) -> String {
    parts.iter().map(|(text, times)| text.repeat(*times)).collect()
}

fn from_hex(hex: &str) -> Vec<u8> {
    let digit = |d: u8| char::from(d).to_digit(16).unwrap() as u8;
    hex.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}
