//! Reads lines of JSON and writes an event stream.
//!
//! `echo '{"event":"note","data":"two\nlines","id":"7"}' | cargo run --release --example encode`

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use serde::Deserialize;
use ssekit::{Event, EventId, EventType};

const HELP: &str = "\
Reads lines of JSON from FILE or standard input and writes an event stream. Each line is an object:
  {\"event\":..,\"data\":..,\"id\":..,\"retry\":milliseconds,\"comment\":..}
with any of these left out. A line that is no such object, or whose event or id cannot stand in an event stream, is
reported on standard error; the others are still written, and the exit status is 1.

Usage: encode [FILE]
";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    event: Option<String>,
    data: Option<String>,
    id: Option<String>,
    retry: Option<u64>,
    comment: Option<String>,
}

impl Line {
    /// The event, or what is wrong with which field.
    fn event(&self) -> Result<Event<'_>, String> {
        let mut event = Event { data: self.data.as_deref(), comment: self.comment.as_deref(), ..Event::new() };
        if let Some(event_type) = &self.event {
            event.event_type = Some(EventType::new(event_type).map_err(|error| format!("field \"event\": {error}"))?);
        }
        if let Some(id) = &self.id {
            event.id = Some(EventId::new(id).map_err(|error| format!("field \"id\": {error}"))?);
        }
        event.reconnection_time = self.retry.map(Duration::from_millis);
        Ok(event)
    }
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
        let result = serde_json::from_slice::<Line>(&line).map_err(|error| describe(&error)).and_then(|line| {
            let event = line.event()?;
            event.encode_to_writer(&mut out).and_then(|()| out.flush()).map_err(|error| error.to_string())
        });
        if let Err(error) = result {
            eprintln!("encode: line {number}: {error}");
            all_valid = false;
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
