//! What the pages say to each other.

use serde::{Deserialize, Serialize};
use ssekit::hub::Position;
use ssekit::{Event, Frame, event_type};

use super::{App, CHAT, now};

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
    /// Sends a message, which is JSON with a name and a text, to all; its place among the events. Or what is wrong with it.
    pub(crate) fn chat(&self, body: &[u8]) -> Result<Position, String> {
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
        let frame = Frame::json(head, &said).map_err(|error| error.to_string())?;
        self.hub.publish(CHAT, frame).map_err(|error| error.to_string())
    }
}
