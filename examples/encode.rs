//! Reads lines of JSON and writes an event stream.
//!
//! `echo '{"event":"note","data":"two\nlines","id":"7"}' | cargo run --release --example encode`

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use ssekit::{Event, EventId, EventType};

const HELP: &str = "\
Reads lines of JSON from FILE or standard input and writes an event stream. Each line is an object:
  {\"event\":..,\"data\":..,\"id\":..,\"retry\":milliseconds,\"comment\":..}
with any of these left out. A line that is no such object, or whose event or id cannot stand in an event stream, is
reported on standard error; the others are still written, and the exit status is 1.

Usage: encode [FILE]
";

/// What a line may have; each is checked by itself, so that an error can name the field.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    event: Option<Value>,
    data: Option<Value>,
    id: Option<Value>,
    retry: Option<Value>,
    comment: Option<Value>,
}

impl Line {
    /// The event, or what is wrong with which field.
    fn event(&self) -> Result<Event<'_>, String> {
        let mut event = Event::new();
        event.comment = text("comment", &self.comment)?.map(Into::into);
        event.data = text("data", &self.data)?.map(Into::into);
        if let Some(event_type) = text("event", &self.event)? {
            event.event_type = Some(EventType::new(event_type).map_err(|error| format!("field \"event\": {error}"))?);
        }
        if let Some(id) = text("id", &self.id)? {
            event.id = Some(EventId::new(id).map_err(|error| format!("field \"id\": {error}"))?);
        }
        if let Some(retry) = &self.retry {
            let milliseconds = retry.as_u64();
            let milliseconds =
                milliseconds.ok_or_else(|| format!("field \"retry\": {retry} is no whole number of milliseconds"))?;
            event.reconnection_time = Some(Duration::from_millis(milliseconds));
        }
        Ok(event)
    }
}

fn text<'v>(field: &str, value: &'v Option<Value>) -> Result<Option<&'v str>, String> {
    let Some(value) = value else { return Ok(None) };
    value.as_str().map(Some).ok_or_else(|| format!("field {field:?}: {value} is no string"))
}

/// Of a line that is JSON by itself the column says where; that it is "line 1" misleads.
fn describe(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.rsplit_once(" at line ").map_or(&*text, |(what, _)| what);
    format!("column {}: {what}", error.column())
}

fn file() -> Result<Option<PathBuf>, lexopt::Error> {
    use lexopt::prelude::*;

    let mut file = None;
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("help") | Short('h') => {
                print!("{HELP}");
                std::process::exit(0);
            }
            Value(path) if file.is_none() => file = Some(PathBuf::from(path)),
            other => return Err(other.unexpected()),
        }
    }
    Ok(file.filter(|path| path.as_os_str() != "-"))
}

/// Whether every line was valid.
fn run(file: Option<PathBuf>) -> Result<bool, String> {
    let input: Box<dyn BufRead> = match file {
        None => Box::new(io::stdin().lock()),
        Some(path) => {
            let file = File::open(&path).map_err(|error| format!("cannot open {}: {error}", path.display()))?;
            Box::new(BufReader::new(file))
        }
    };
    let mut out = io::stdout().lock();
    let mut all_valid = true;
    for (number, line) in (1..).zip(input.split(b'\n')) {
        let line = line.map_err(|error| format!("cannot read: {error}"))?;
        if line.trim_ascii().is_empty() {
            continue;
        }
        let line = serde_json::from_slice::<Line>(&line).map_err(|error| describe(&error));
        match line.as_ref().map_err(String::clone).and_then(Line::event) {
            Ok(event) => {
                let written = event.encode_to_writer(&mut out).and_then(|()| out.flush());
                written.map_err(|error| format!("cannot write: {error}"))?;
            }
            Err(error) => {
                eprintln!("encode: line {number}: {error}");
                all_valid = false;
            }
        }
    }
    Ok(all_valid)
}

fn main() -> ExitCode {
    match file().map_err(|error| format!("{error}\n\n{HELP}")).and_then(run) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("encode: {error}");
            ExitCode::FAILURE
        }
    }
}
