//! The fields of an event that the gateway reads, and the one that it changes.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde_json::value::RawValue;
use ssekit::{EncodedEvent, Event, ReceivedEvent};

/// The name of a model upstream, and the name that clients see.
#[derive(Clone, Debug)]
pub(crate) struct Rename {
    from: String,
    /// The new name as JSON.
    to: String,
}

impl FromStr for Rename {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let (from, to) = text.split_once('=').ok_or("expected FROM=TO")?;
        Ok(Self { from: from.to_owned(), to: serde_json::Value::from(to).to_string() })
    }
}

/// The fields of a chunk that the gateway reads, borrowed from the event. Parsing skips all others.
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

/// The outcome of reading an event.
#[derive(Debug)]
pub(crate) struct Look {
    /// The number of tokens, if the upstream sends each token by itself, as most do.
    pub(crate) tokens: usize,
    /// The event to send instead, if the gateway changed it.
    pub(crate) changed: Option<EncodedEvent>,
}

impl Look {
    pub(crate) fn at(event: &ReceivedEvent, rename: &Rename) -> Self {
        // Other data, such as an error of the upstream, is sent unchanged.
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

/// Returns the event with the new model name. The text before and after the name is copied straight into the new event.
fn renamed(event: &ReceivedEvent, model: &RawValue, rename: &Rename) -> Result<EncodedEvent, fmt::Error> {
    // The raw value is a slice of the data, so its address gives its position.
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
