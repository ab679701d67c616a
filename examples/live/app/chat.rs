//! What the pages say to each other.

use serde::{Deserialize, Serialize};
use ssekit::{EncodedEvent, Event, event_type};

use super::{Answer, App, CHAT, now};

/// The most characters of a name, and of a text.
const MAX_NAME: usize = 40;
const MAX_TEXT: usize = 500;

/// What is posted.
#[derive(Deserialize)]
struct Message {
    name: String,
    text: String,
}

/// What all are sent.
#[derive(Serialize)]
struct Said<'a> {
    /// Milliseconds since 1970.
    time: u64,
    name: &'a str,
    text: &'a str,
}

impl App {
    /// Sends a message, which is JSON with a name and a text, to all. The answer is its place among the events, or why it has
    /// none: it is wrong (400), it is not sent (503), or nobody knows (504).
    pub(crate) async fn chat(&self, body: &[u8]) -> Answer {
        let frame = match message(body) {
            Ok(frame) => frame,
            Err(error) => return (400, error),
        };
        match self.hub.publish(CHAT, frame).await {
            Ok(position) => (202, position.to_string()),
            Err(error) => (error.status(), error.to_string()),
        }
    }
}

/// What all are sent, or what is wrong with what was posted.
fn message(body: &[u8]) -> Result<EncodedEvent, String> {
    let message: Message = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let said = Said { time: now(), name: message.name.trim(), text: message.text.trim() };
    if said.text.is_empty() {
        return Err("text is empty".to_owned());
    }
    for (what, value, max) in [("name", said.name, MAX_NAME), ("text", said.text, MAX_TEXT)] {
        let count = value.chars().count();
        if count > max {
            return Err(format!("{what} has {count} characters, of {max} at the most"));
        }
    }
    let head = Event::new().with_event_type(event_type!("chat"));
    EncodedEvent::json(&head, &said).map_err(|error| error.to_string())
}
