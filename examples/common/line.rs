//! Events as lines of JSON.

use std::io::{self, Write};

use serde::Serialize;
use ssekit::MessageEvent;

/// An event, with its data as a string, or as whatever it stands for.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventLine<'a, D = &'a str> {
    r#type: &'a str,
    data: D,
    last_event_id: &'a str,
}

impl<'a, D> EventLine<'a, D> {
    pub(crate) fn with_data(event: MessageEvent<'a>, data: D) -> Self {
        Self { r#type: event.event_type, data, last_event_id: event.last_event_id }
    }
}

impl<'a> From<MessageEvent<'a>> for EventLine<'a> {
    fn from(event: MessageEvent<'a>) -> Self {
        Self::with_data(event, event.data)
    }
}

/// Prints it at once.
pub(crate) fn print(line: &impl Serialize) -> io::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    let mut out = io::stdout().lock();
    out.write_all(&text)?;
    out.flush()
}
