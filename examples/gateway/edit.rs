//! What the gateway looks at in an event, and what it changes.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde_json::value::RawValue;
use ssekit::{EncodedEvent, Event, ReceivedEvent};

/// A model's name upstream, and the one that clients see.
#[derive(Clone, Debug)]
pub(crate) struct Rename {
    from: String,
    /// As JSON.
    to: String,
}

impl FromStr for Rename {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let (from, to) = text.split_once('=').ok_or("it is no FROM=TO")?;
        Ok(Self { from: from.to_owned(), to: serde_json::Value::from(to).to_string() })
    }
}

/// As much of a chunk as is looked at, borrowed from the event; the rest is skipped.
#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow)]
    model: Option<&'a RawValue>,
    #[serde(borrow, default)]
    choices: Vec<Choice<'a>>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow)]
    delta: Option<Delta<'a>>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow)]
    content: Option<&'a RawValue>,
}

/// What is to become of an event.
#[derive(Debug)]
pub(crate) struct Look {
    /// How many tokens are in it, if the upstream sends each by itself, as most do.
    pub(crate) tokens: usize,
    /// The event to be sent instead, if it is changed.
    pub(crate) changed: Option<EncodedEvent>,
}

impl Look {
    pub(crate) fn at(event: &ReceivedEvent, rename: &Rename) -> Self {
        // What is no chunk, an error of the upstream's say, is not the gateway's business.
        let Ok(chunk) = serde_json::from_str::<Chunk<'_>>(&event.data) else {
            return Self { tokens: 0, changed: None };
        };
        let contents = chunk.choices.iter().filter_map(|choice| choice.delta.as_ref()?.content);
        let tokens = contents.filter(|content| content.get() != "\"\"").count();
        let model = chunk
            .model
            .filter(|model| serde_json::from_str::<Cow<'_, str>>(model.get()).is_ok_and(|name| name == rename.from));
        Self { tokens, changed: model.and_then(|model| renamed(event, model, rename).ok()) }
    }
}

/// The same event with another model, and all else as it was: what is before it and behind it goes straight into the
/// frame.
fn renamed(event: &ReceivedEvent, model: &RawValue, rename: &Rename) -> Result<EncodedEvent, fmt::Error> {
    // The value is a part of the data.
    let start = model.get().as_ptr().addr().wrapping_sub(event.data.as_ptr().addr());
    let (Some(before), Some(after)) = (event.data.get(..start), event.data.get(start + model.get().len()..)) else {
        return Err(fmt::Error);
    };
    let head = Event::try_from(event).map_err(|_| fmt::Error)?;
    EncodedEvent::write(&Event { data: None, ..head }, |data| {
        data.write_str(before)?;
        data.write_str(&rename.to)?;
        data.write_str(after)
    })
}
