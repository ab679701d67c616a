//! Asks a language model, and prints its answer token by token.
//!
//! `cargo run --release --example chat -- --format anthropic "What is an event stream?"`

#[path = "../common/mod.rs"]
#[allow(dead_code)]
mod common;
#[path = "../common/escape.rs"]
mod escape;
mod format;
#[path = "../common/model.rs"]
mod model;

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use ssekit::client::reqwest::{Client, Url};
use ssekit::client::{ClientError, EventSource, Failure, RetryPolicy, SourceItem, client_builder};

use common::listen;
use escape::escape;
use format::{Format, Message, refusal};

const HELP: &str = "\
Asks a language model, and prints its answer token by token. Without a PROMPT it is a chat: each line of standard input
is a question, and the model knows the conversation.

Usage: chat [--format openai|anthropic] [--url URL] [--model MODEL] [PROMPT]..

  --format FORMAT  openai (POST /v1/chat/completions, the default) or anthropic (POST /v1/messages)
  --url URL        the server, such as https://api.openai.com, or a whole URL if its path is not the format's
                   (default: a stand-in inside this program). The key is in OPENAI_API_KEY or ANTHROPIC_API_KEY
  --model MODEL    the model (default: demo-1 of the stand-in; demo-broken stops in the middle)

An overloaded server (429, 503, 529) is asked again, at most 3 times, after the delay that it asks for.
Exit status: 0, or 1 if an answer was not complete.
";

/// The longest silence of a model that thinks.
const MAX_SILENCE: Duration = Duration::from_secs(300);

struct Arguments {
    format: Format,
    url: Option<Url>,
    model: Option<String>,
    prompt: Vec<String>,
}

fn arguments() -> Result<Option<Arguments>, lexopt::Error> {
    use lexopt::prelude::*;

    let mut arguments = Arguments { format: Format::OpenAi, url: None, model: None, prompt: Vec::new() };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("format") => arguments.format = parser.value()?.parse()?,
            Long("url") => arguments.url = Some(parser.value()?.parse()?),
            Long("model") => arguments.model = Some(parser.value()?.string()?),
            Long("help") | Short('h') => return Ok(None),
            Value(word) => arguments.prompt.push(word.string()?),
            other => return Err(other.unexpected()),
        }
    }
    if arguments.url.is_some() && arguments.model.is_none() {
        return Err("--url needs a --model".into());
    }
    Ok(Some(arguments))
}

#[tokio::main]
async fn main() -> ExitCode {
    common::main("chat", HELP, arguments(), run).await
}

async fn run(Arguments { format, url, model, prompt }: Arguments) -> Result<(), String> {
    let client = client_builder().build().map_err(|error| format!("http client cannot be built: {error}"))?;
    let (url, key) = match url {
        Some(mut url) => {
            if url.path() == "/" {
                url.set_path(format.path());
            }
            (url.into(), format.key())
        }
        None => {
            let (listener, local) = listen("127.0.0.1:0")?;
            model::start(listener).map_err(|error| error.to_string())?;
            say(format_args!("a stand-in answers on {local}"));
            (format!("http://{local}{}", format.path()), None)
        }
    };
    let model = model.unwrap_or_else(|| model::MODEL.to_owned());
    let mut chat = Chat { format, client, url, key, model, messages: Vec::new() };
    if !prompt.is_empty() {
        return chat.turn(prompt.join(" ")).await.map_err(|failed| failed.to_string());
    }
    converse(&mut chat).await
}

/// Asks each line of standard input.
async fn converse(chat: &mut Chat) -> Result<(), String> {
    let (mut asked, mut failed) = (0, 0);
    let is_interactive = io::stdin().is_terminal();
    loop {
        if is_interactive {
            let _ = io::stderr().write_all(b"> ");
        }
        let mut line = String::new();
        match io::stdin().read_line(&mut line) {
            Ok(0) if failed > 0 => return Err(format!("{failed} of {asked} answers were not complete")),
            Ok(0) => return Ok(()),
            Ok(_) if line.trim().is_empty() => continue,
            Ok(_) => asked += 1,
            Err(error) => return Err(format!("cannot read standard input: {error}")),
        }
        match chat.turn(line.trim().to_owned()).await {
            Ok(()) => {}
            Err(Failed::Answer(error)) => {
                say(error);
                failed += 1;
            }
            Err(failed) => return Err(failed.to_string()),
        }
    }
}

#[derive(Debug)]
enum Failed {
    /// The answer is missing or not complete.
    Answer(String),
    /// The answer cannot be written.
    Output(io::Error),
}

impl Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Answer(error) => f.write_str(&escape(error)),
            Self::Output(error) => write!(f, "cannot write: {error}"),
        }
    }
}

struct Chat {
    format: Format,
    client: Client,
    url: String,
    key: Option<String>,
    model: String,
    messages: Vec<Message>,
}

impl Chat {
    /// Asks and prints the answer. A question without a complete answer is not part of the conversation.
    async fn turn(&mut self, prompt: String) -> Result<(), Failed> {
        self.messages.push(Message { role: "user", content: prompt });
        let mut answer = String::new();
        let result = self.answer(&mut answer).await;
        if !answer.is_empty() {
            print("\n").map_err(Failed::Output)?;
        }
        match result {
            Ok(summary) => {
                say(summary);
                self.messages.push(Message { role: "assistant", content: answer });
                Ok(())
            }
            Err(failed) => {
                self.messages.pop();
                Err(failed)
            }
        }
    }

    /// Asks, and appends the pieces of the answer as they arrive. Returns a summary.
    async fn answer(&self, answer: &mut String) -> Result<String, Failed> {
        let start = Instant::now();
        let mut source = self.ask()?;
        let (mut pieces, mut tokens, mut stop) = (0, None, None);
        loop {
            match source.next().await {
                Some(Ok(SourceItem::Event(event))) => {
                    let part = self.format.read(&event).map_err(Failed::Answer)?;
                    if !part.text.is_empty() {
                        pieces += 1;
                        print(&part.text).map_err(Failed::Output)?;
                        answer.push_str(&part.text);
                    }
                    tokens = part.tokens.or(tokens);
                    stop = part.stop.map(|stop| stop.into_owned()).or(stop);
                }
                Some(Ok(_)) => {}
                Some(Err(error)) if error.retry_delay().is_some() => say(message(&error)),
                Some(Err(error)) => return Err(Failed::Answer(message(&error))),
                None => break,
            }
        }
        // Servers that do not report the number of tokens send one in each event.
        let (tokens, took) = (tokens.unwrap_or(pieces), start.elapsed().as_secs_f64());
        Ok(format!("{tokens} tokens in {took:.1} s, {}", stop.as_deref().unwrap_or("for no reason given")))
    }

    fn ask(&self) -> Result<EventSource, Failed> {
        // Not after a lost connection: the server may be writing the answer.
        let is_busy = |failure: &Failure| matches!(failure.status(), Some(429 | 503 | 529));
        let policy = RetryPolicy::new()
            .with_retry_if(is_busy)
            .with_max_retries(3)
            .with_max_server_delay(MAX_SILENCE)
            .with_reconnection_time(Duration::ZERO);
        let source = self.format.ask(&self.url, self.key.as_deref(), &self.model, &self.messages);
        source
            .with_client(self.client.clone())
            .with_retry_policy(policy)
            .with_response_timeout(MAX_SILENCE)
            .with_idle_timeout(MAX_SILENCE)
            .build()
            .map_err(|error| Failed::Answer(error.to_string()))
    }
}

/// Returns the message for a failure, from the API if possible.
fn message(error: &ClientError) -> String {
    if *error.failure() == Failure::StreamEnd {
        return format!("{error} before the answer was complete");
    }
    match (error.status(), error.body().and_then(refusal)) {
        (Some(status), Some(refusal)) => match error.retry_delay() {
            Some(after) => format!("{refusal} ({status}); next attempt in {:.1} s", after.as_secs_f64()),
            None => format!("{refusal} ({status})"),
        },
        _ => error.to_string(),
    }
}

/// Prints at once.
fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if out.is_terminal() {
        out.write_all(escape(text).as_bytes())?;
    } else {
        out.write_all(text.as_bytes())?;
    }
    out.flush()
}

/// Writes a message to standard error. Nobody has to read it, so errors are ignored.
fn say(text: impl Display) {
    let _ = io::stderr().write_all(format!("chat: {}\n", escape(&text.to_string())).as_bytes());
}
