//! Reads an event stream and prints a line of JSON for each event, as soon as it is there.
//!
//! `curl -sN http://127.0.0.1:8080/events | cargo run --release --example decode`

#[path = "common/line.rs"]
mod line;

use std::fs::File;
use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;
use ssekit::{DecodeError, Decoder, Limits, MessageEvent};

use line::{EventLine, print};

const HELP: &str = "\
Reads an event stream from FILE or standard input and prints a line of JSON for each event:
  {\"type\":..,\"data\":..,\"lastEventId\":..}
An event over a limit prints {\"error\":..}, and decoding goes on. At the end of the input:
  {\"end\":{\"lastEventId\":..,\"reconnectionTime\":milliseconds or null}}

Usage: decode [--chunk N] [--max-data BYTES] [FILE]

  --chunk N         feed the decoder at most N bytes at a time (default 16384)
  --max-data BYTES  the most data that an event may have (default 16777216)
";

struct Arguments {
    chunk: NonZeroUsize,
    limits: Limits,
    file: Option<PathBuf>,
}

fn arguments() -> Result<Option<Arguments>, lexopt::Error> {
    use lexopt::prelude::*;

    let mut arguments =
        Arguments { chunk: NonZeroUsize::MIN.saturating_add(16_383), limits: Limits::default(), file: None };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("chunk") => arguments.chunk = parser.value()?.parse()?,
            Long("max-data") => arguments.limits.data = parser.value()?.parse()?,
            Long("help") | Short('h') => return Ok(None),
            Value(file) if file == "-" && arguments.file.is_none() => {}
            Value(file) if arguments.file.is_none() => arguments.file = Some(file.into()),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Some(arguments))
}

#[derive(Serialize)]
#[serde(untagged)]
enum Line<'a> {
    Event(EventLine<'a>),
    Error { error: String },
    End { end: End<'a> },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct End<'a> {
    last_event_id: &'a str,
    reconnection_time: Option<u64>,
}

impl<'a> From<Result<MessageEvent<'a>, DecodeError>> for Line<'a> {
    fn from(result: Result<MessageEvent<'a>, DecodeError>) -> Self {
        match result {
            Ok(event) => Self::Event(event.into()),
            Err(error) => Self::Error { error: error.to_string() },
        }
    }
}

fn run(arguments: Arguments) -> Result<(), String> {
    let (mut input, name): (Box<dyn Read>, _) = match &arguments.file {
        None => (Box::new(io::stdin()), "standard input".to_owned()),
        Some(path) => {
            let name = path.display().to_string();
            (Box::new(File::open(path).map_err(|error| format!("cannot open {name}: {error}"))?), name)
        }
    };
    let broken = |error| format!("cannot write: {error}");
    let mut decoder = Decoder::with_limits(arguments.limits);
    let mut buffer = vec![0; 64 << 10];
    loop {
        let n = match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(format!("cannot read {name}: {error}")),
        };
        for mut chunk in buffer[..n].chunks(arguments.chunk.get()) {
            while let Some(result) = decoder.next_event(&mut chunk).transpose() {
                print(&Line::from(result)).map_err(broken)?;
            }
        }
    }
    let end = End {
        last_event_id: decoder.last_event_id(),
        reconnection_time: decoder.reconnection_time().and_then(|time| time.as_millis().try_into().ok()),
    };
    print(&Line::End { end }).map_err(broken)
}

fn main() -> ExitCode {
    let result = match arguments() {
        Ok(Some(arguments)) => run(arguments),
        Ok(None) => {
            print!("{HELP}");
            Ok(())
        }
        Err(error) => Err(format!("{error}\n\n{HELP}")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("decode: {error}");
            ExitCode::FAILURE
        }
    }
}
