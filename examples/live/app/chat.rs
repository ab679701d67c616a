//! The chat between the pages.

use serde::{Deserialize, Serialize};
use ssekit::{EncodedEvent, Event, event_type};

use super::{Answer, App, CHAT, now};

/// The maximum number of characters of a name, and of a text.
const MAX_NAME: usize = 40;
const MAX_TEXT: usize = 500;

/// A posted message.
#[derive(Deserialize)]
struct Message {
    name: String,
    text: String,
}

/// The data of the event that all pages receive.
#[derive(Serialize)]
struct Said<'a> {
    /// The time in milliseconds since 1970.
    time: u64,
    name: &'a str,
    text: &'a str,
}

impl App {
    /// Publishes a message, which is JSON with a name and a text. The answer is the event's position, or an error: the
    /// message is invalid (400), was not published (503), or may have been published (504).
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

/// Encodes the event for all pages. Fails if the posted message is invalid.
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
