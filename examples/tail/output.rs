//! The output of events, for a terminal or for another program.

use std::io::{self, BufWriter, IsTerminal, Write};

use serde_json::json;
use serde_json::value::RawValue;
use ssekit::MessageEvent;

use crate::line::{EventLine, print};
use crate::say;
use crate::terminal::{Data, Terminal};

pub(crate) struct Output {
    terminal: Option<Terminal>,
    is_json: bool,
}

impl Output {
    pub(crate) fn new(is_json: bool) -> Self {
        Self { terminal: io::stdout().is_terminal().then(Terminal::from_env), is_json }
    }

    pub(crate) fn event(&self, event: MessageEvent<'_>) -> io::Result<()> {
        let value = self.is_json.then(|| event.json::<&RawValue>());
        let value = value.and_then(|value| value.inspect_err(|error| say(error)).ok());
        match (self.terminal, value) {
            (None, None) => print(&EventLine::from(event)),
            (None, Some(value)) if value.get().contains('\n') => {
                // A line feed can only be between tokens, where a space means the same.
                let value = RawValue::from_string(value.get().replace('\n', " "))?;
                print(&EventLine::with_data(event, value))
            }
            (None, Some(value)) => print(&EventLine::with_data(event, value)),
            (Some(terminal), value) => {
                let data = value.map_or(Data::Text(event.data), Data::Json);
                let mut out = BufWriter::new(io::stdout().lock());
                terminal.event(&mut out, event, data)?;
                out.flush()
            }
        }
    }

    pub(crate) fn comment(&self, comment: &str) -> io::Result<()> {
        match self.terminal {
            None => print(&json!({ "comment": comment })),
            Some(terminal) => terminal.comment(&mut io::stdout().lock(), comment),
        }
    }
}
