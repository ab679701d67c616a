//! Follows an event stream: a curl that reconnects, and knows events.
//!
//! `cargo run --release --example tail -- http://127.0.0.1:8080/events`

#[path = "../common/escape.rs"]
mod escape;
#[path = "../common/line.rs"]
mod line;
mod output;
mod terminal;

use std::fmt::{Display, Write as _};
use std::io::{self, Read, Write};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode};
use std::time::Duration;
use std::{fs, str};

use lexopt::Parser;
use serde::de::IgnoredAny;
use ssekit::client::machine::Failure;
use ssekit::client::reqwest::Url;
use ssekit::client::{EventSource, InvalidRequest, Item, Open, RetryPolicy};
use tokio::signal::ctrl_c;

use escape::escape;
use output::Output;

const HELP: &str = "\
Follows the event stream at URL, and prints each event at once: on a terminal to be read, with colours unless the
environment has NO_COLOR, and else as a line of JSON:
  {\"type\":..,\"data\":..,\"lastEventId\":..}
When the stream ends or breaks off, or the server cannot be reached or is overloaded (408, 425, 429, 500, 502, 503,
504), it connects again, behind the last event. What happens to the connection is told on standard error.

Usage: tail [OPTION].. URL

  -H, --header 'K: V'     send this header field; may be given again, for others
  --post FILE             post FILE, or standard input if it is -: as application/json, text/plain or
                          application/octet-stream, whichever it is, unless --header says otherwise. With
                          --one-shot, since each attempt would post it again, unless there is --reconnect
  --json                  data is JSON: print it as such, not as a string
  --comments              print comments too: {\"comment\":..}
  --count N               end after N events
  --one-shot              end with the stream, or at an event whose data is [DONE]; try once, or as often as
                          --max-retries says until the stream is open
  --reconnect             connect again, also with --post
  --max-retries N         give up after N further attempts in a row
  --idle-timeout SECONDS  take the connection for dead when nothing has come for so long
  --last-event-id ID      start behind this event

Exit status: 0 the stream is done (204, --one-shot), or N events have come, or nobody reads the output any more;
1 it has failed for good; 2 wrong usage; 130 Ctrl-C.
";

#[derive(Default)]
struct Arguments {
    url: String,
    headers: Vec<(String, String)>,
    post: Option<PathBuf>,
    is_one_shot: Option<bool>,
    max_retries: Option<u32>,
    idle_timeout: Option<Duration>,
    last_event_id: String,
    count: Option<NonZeroU64>,
    is_json: bool,
    has_comments: bool,
}

fn arguments() -> Result<Option<Arguments>, lexopt::Error> {
    use lexopt::prelude::*;

    let mut arguments = Arguments::default();
    let mut parser = Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("header") | Short('H') => arguments.headers.push(header(&mut parser)?),
            Long("post") => arguments.post = Some(parser.value()?.into()),
            Long("json") => arguments.is_json = true,
            Long("comments") => arguments.has_comments = true,
            Long("count") => arguments.count = Some(parser.value()?.parse()?),
            Long("one-shot") => arguments.is_one_shot = Some(true),
            Long("reconnect") => arguments.is_one_shot = Some(false),
            Long("max-retries") => arguments.max_retries = Some(parser.value()?.parse()?),
            Long("idle-timeout") => arguments.idle_timeout = Some(parser.value()?.parse_with(seconds)?),
            Long("last-event-id") => arguments.last_event_id = parser.value()?.string()?,
            Long("help") | Short('h') => return Ok(None),
            Value(url) if arguments.url.is_empty() => arguments.url = url.string()?,
            other => return Err(other.unexpected()),
        }
    }
    match &*arguments.url {
        "" => return Err("there is no URL".into()),
        // Not that of an address among its parameters.
        url if url.split(['/', '?', '#']).next().is_some_and(|scheme| !scheme.ends_with(':')) => {
            arguments.url = format!("http://{url}")
        }
        _ => {}
    }
    Ok(Some(arguments))
}

/// It may be a secret, and is in no error.
fn header(parser: &mut Parser) -> Result<(String, String), lexopt::Error> {
    let header = parser.value()?.into_string().map_err(|_| "a header field is not UTF-8")?;
    let (name, value) = header.split_once(':').ok_or("a header field has no colon: 'K: V'")?;
    Ok((name.to_owned(), value.trim().to_owned()))
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().map_err(|error| error.to_string())?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(Duration::ZERO) => Err("it is no time".to_owned()),
        result => result.map_err(|error| error.to_string()),
    }
}

/// How it ends.
enum End {
    InOrder(String),
    NobodyReads,
    Failed(String),
    WrongUsage(String),
}

impl Arguments {
    fn source(&self) -> Result<EventSource, End> {
        let mut builder = match &self.post {
            None => EventSource::get(&self.url),
            Some(file) => {
                let body =
                    read(file).map_err(|error| End::Failed(format!("cannot read {}: {error}", file.display())))?;
                let is_typed = self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
                let mut builder = EventSource::post(&self.url);
                if !is_typed {
                    builder = builder.with_header("content-type", content_type(&body));
                }
                builder.with_body(body)
            }
        };
        for (name, value) in &self.headers {
            builder = builder.with_header(name.as_str(), value.as_str());
        }
        if self.has_comments {
            builder = builder.with_comments();
        }
        let is_one_shot = self.is_one_shot.unwrap_or(self.post.is_some());
        if is_one_shot {
            builder = builder.with_one_shot();
        }
        let mut policy = RetryPolicy::new().with_retry_if(Failure::is_transient);
        if let Some(retries) = self.max_retries.or(is_one_shot.then_some(0)) {
            policy = policy.with_max_retries(retries);
        }
        let builder = builder.with_retry(policy).with_last_event_id(&self.last_event_id);
        builder.with_idle_timeout(self.idle_timeout).build().map_err(|error| match error {
            InvalidRequest::Client(_) => End::Failed(error.to_string()),
            error => End::WrongUsage(error.to_string()),
        })
    }

    async fn run(self, mut source: EventSource) -> End {
        let output = Output::new(self.is_json);
        let mut count = 0;
        while let Some(result) = source.next().await {
            let printed = match result {
                Ok(Item::Event(event)) => {
                    count += 1;
                    output.event(event.as_event())
                }
                Ok(Item::Comment(comment)) => output.comment(&comment),
                Ok(Item::Open(open)) => {
                    say(self.connected(&open));
                    continue;
                }
                Ok(_) => continue,
                Err(error) if error.is_final() => return End::Failed(format!("failed for good: {error}")),
                Err(error) => {
                    say(error);
                    continue;
                }
            };
            match printed {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return End::NobodyReads,
                Err(error) => return End::Failed(format!("cannot write: {error}")),
            }
            if self.count.is_some_and(|limit| count >= limit.get()) {
                return End::InOrder(format!("{} as asked for", events(count)));
            }
        }
        let end = source.end().map(|end| end.to_string()).unwrap_or_default();
        End::InOrder(format!("{end}, after {}", events(count)))
    }

    fn connected(&self, open: &Open) -> String {
        let mut text = format!("connected (200, {:?})", open.version);
        if !open.last_event_id.is_empty() {
            let _ = write!(text, ", behind event {:?}", open.last_event_id);
        }
        match place(&open.url) {
            place_ if place_ == place(&self.url) => {}
            place => text.extend([", redirected to ", place.as_deref().unwrap_or_default()]),
        }
        text
    }
}

fn events(count: u64) -> String {
    format!("{count} event{}", if count == 1 { "" } else { "s" })
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    if file != Path::new("-") {
        return fs::read(file);
    }
    let mut bytes = Vec::new();
    io::stdin().read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn content_type(body: &[u8]) -> &'static str {
    if serde_json::from_slice::<IgnoredAny>(body).is_ok() {
        "application/json"
    } else if str::from_utf8(body).is_ok() {
        "text/plain; charset=utf-8"
    } else {
        "application/octet-stream"
    }
}

/// The URL without what may be a secret.
fn place(url: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    Some(url.origin().ascii_serialization() + url.path())
}

/// Whoever does not listen need not.
fn say(text: impl Display) {
    let _ = io::stderr().write_all(format!("tail: {}\n", escape(&text.to_string())).as_bytes());
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(error) => return end(End::WrongUsage(error.to_string())),
    };
    let source = match arguments.source() {
        Ok(source) => source,
        Err(failed) => return end(failed),
    };
    tokio::select! {
        biased;
        Ok(()) = ctrl_c() => {
            say("interrupted");
            // At once, whatever the output may wait for.
            process::exit(130)
        }
        result = async { tokio::spawn(arguments.run(source)).await } => {
            end(result.unwrap_or_else(|error| End::Failed(error.to_string())))
        }
    }
}

fn end(end: End) -> ExitCode {
    let (text, status) = match end {
        End::InOrder(text) => (text, 0),
        End::NobodyReads => return ExitCode::SUCCESS,
        End::Failed(text) => (text, 1),
        End::WrongUsage(text) => (format!("{text}\n\n{HELP}"), 2),
    };
    say(text.trim_end());
    ExitCode::from(status)
}
