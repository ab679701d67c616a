//! Follows an event stream: curl for events, with reconnections.
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
use ssekit::client::reqwest::Url;
use ssekit::client::{EventSource, Failure, InvalidRequest, Opened, RetryPolicy, SourceItem};
use tokio::signal::ctrl_c;

use escape::escape;
use output::Output;

const HELP: &str = "\
Follows the event stream at URL, and prints each event at once. On a terminal events are shown with colours, unless
NO_COLOR is set. Elsewhere each event is a line of JSON:
  {\"type\":..,\"data\":..,\"lastEventId\":..}
After the end of the stream, a network error, or status 408, 425, 429, 500, 502, 503 or 504, it connects again and
continues after the last event. Messages about the connection go to standard error.

Usage: tail [OPTION].. URL

  -H, --header 'K: V'     send this header field; can be repeated
  --post FILE             post FILE, or standard input if FILE is -. The content type is application/json, text/plain
                          or application/octet-stream, by the content, unless --header sets it. Implies
                          --single-response, because each attempt posts again; --reconnect undoes that
  --json                  print data as JSON, not as a string
  --comments              print comments too: {\"comment\":..}
  --count N               end after N events
  --single-response       end with the stream, or at an event whose data is [DONE]. Until the stream is open, retry
                          only if there is --max-retries
  --reconnect             connect again, also with --post
  --max-retries N         give up after N retries in a row
  --idle-timeout SECONDS  connect again when nothing was received for so long
  --last-event-id ID      continue after this event

Exit status: 0 after the end of the stream (204, --single-response), after N events, or when the output is closed;
1 after a final error; 2 for wrong usage; 130 after Ctrl-C.
";

#[derive(Default)]
struct Arguments {
    url: String,
    headers: Vec<(String, String)>,
    post: Option<PathBuf>,
    /// `None` when neither `--single-response` nor `--reconnect` was given.
    is_single_response: Option<bool>,
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
            Long("single-response") => arguments.is_single_response = Some(true),
            Long("reconnect") => arguments.is_single_response = Some(false),
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
        // Looks at the start only: a parameter may contain another URL.
        url if url.split(['/', '?', '#']).next().is_some_and(|scheme| !scheme.ends_with(':')) => {
            arguments.url = format!("http://{url}")
        }
        _ => {}
    }
    Ok(Some(arguments))
}

/// Parses a header field. Its value may be secret, so errors do not show it.
fn header(parser: &mut Parser) -> Result<(String, String), lexopt::Error> {
    let header = parser.value()?.into_string().map_err(|_| "a header field is not UTF-8")?;
    let (name, value) = header.split_once(':').ok_or("a header field has no colon: 'K: V'")?;
    Ok((name.to_owned(), value.trim().to_owned()))
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().map_err(|error| error.to_string())?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(Duration::ZERO) => Err("it must be more than zero".to_owned()),
        result => result.map_err(|error| error.to_string()),
    }
}

/// The end of the program.
enum End {
    /// The stream has ended, for this reason.
    InOrder(String),
    /// The output was closed.
    OutputClosed,
    /// A final error.
    Failed(String),
    /// The arguments are wrong.
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
        let is_single_response = self.is_single_response.unwrap_or(self.post.is_some());
        if is_single_response {
            builder = builder.with_single_response();
        }
        let mut policy = RetryPolicy::new().with_retry_if(Failure::is_transient);
        if let Some(retries) = self.max_retries.or(is_single_response.then_some(0)) {
            policy = policy.with_max_retries(retries);
        }
        let builder = builder.with_retry_policy(policy).with_last_event_id(&self.last_event_id);
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
                Ok(SourceItem::Event(event)) => {
                    count += 1;
                    output.event(event.as_message_event())
                }
                Ok(SourceItem::Comment(comment)) => output.comment(&comment),
                Ok(SourceItem::Opened(opened)) => {
                    say(self.connected(&opened));
                    continue;
                }
                Ok(_) => continue,
                Err(error) if error.is_final() => return End::Failed(format!("final error: {error}")),
                Err(error) => {
                    say(error);
                    continue;
                }
            };
            match printed {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return End::OutputClosed,
                Err(error) => return End::Failed(format!("cannot write: {error}")),
            }
            if self.count.is_some_and(|limit| count >= limit.get()) {
                return End::InOrder(format!("received {}", events(count)));
            }
        }
        let reason = source.end_reason().map(|reason| reason.to_string()).unwrap_or_default();
        End::InOrder(format!("{reason}, after {}", events(count)))
    }

    fn connected(&self, opened: &Opened) -> String {
        let mut text = format!("connected (200, {:?})", opened.version);
        if !opened.last_event_id.is_empty() {
            let _ = write!(text, ", after event {:?}", opened.last_event_id);
        }
        match place(&opened.url) {
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

/// Returns the URL without credentials and query, which may be secret.
fn place(url: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    Some(url.origin().ascii_serialization() + url.path())
}

/// Writes a message to standard error. Nobody has to read it, so errors are ignored.
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
            // Exits at once, even if a write to the output blocks.
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
        End::OutputClosed => return ExitCode::SUCCESS,
        End::Failed(text) => (text, 1),
        End::WrongUsage(text) => (format!("{text}\n\n{HELP}"), 2),
    };
    say(text.trim_end());
    ExitCode::from(status)
}
