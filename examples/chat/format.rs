//! The two formats of requests and answers.

use std::borrow::Cow;
use std::env;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use ssekit::client::{EventSource, EventSourceBuilder};
use ssekit::{JsonDecodeError, ReceivedEvent};

/// The longest answer, which Anthropic's API requires. Answers in a chat are shorter.
const MAX_TOKENS: u32 = 4096;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Format {
    OpenAi,
    Anthropic,
}

impl FromStr for Format {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text {
            "openai" => Ok(Self::OpenAi),
            "anthropic" => Ok(Self::Anthropic),
            _ => Err("it is neither openai nor anthropic"),
        }
    }
}

/// A message of the user or of the model.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Message {
    pub(crate) role: &'static str,
    pub(crate) content: String,
}

/// The part of the answer that an event contains. It is empty for other events.
#[derive(Debug, Default)]
pub(crate) struct Part<'a> {
    pub(crate) text: Cow<'a, str>,
    /// The reason why the model has stopped.
    pub(crate) stop: Option<Cow<'a, str>>,
    /// The number of tokens of the answer.
    pub(crate) tokens: Option<u64>,
}

impl Format {
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::OpenAi => "/v1/chat/completions",
            Self::Anthropic => "/v1/messages",
        }
    }

    /// Returns the key from the environment, if there is one. Some servers need none.
    pub(crate) fn key(self) -> Option<String> {
        let name = match self {
            Self::OpenAi => "OPENAI_API_KEY",
            Self::Anthropic => "ANTHROPIC_API_KEY",
        };
        env::var(name).ok().map(|key| key.trim().to_owned()).filter(|key| !key.is_empty())
    }

    pub(crate) fn ask(self, url: &str, key: Option<&str>, model: &str, messages: &[Message]) -> EventSourceBuilder {
        let mut body = json!({ "model": model, "stream": true, "messages": messages });
        let mut source = EventSource::post(url);
        match self {
            Self::OpenAi => {
                source = source.with_single_response_until(|event| event.data == "[DONE]");
                body["stream_options"] = json!({ "include_usage": true });
                if let Some(key) = key {
                    source = source.with_header("authorization", format!("Bearer {key}"));
                }
            }
            Self::Anthropic => {
                source = source.with_single_response_until(|event| event.event_type == "message_stop");
                body["max_tokens"] = Value::from(MAX_TOKENS);
                source = source.with_header("anthropic-version", "2023-06-01");
                if let Some(key) = key {
                    source = source.with_header("x-api-key", key);
                }
            }
        }
        source.with_json(&body)
    }

    /// Returns the part of the answer in the event, or the reason why the answer failed.
    pub(crate) fn read(self, event: &ReceivedEvent) -> Result<Part<'_>, String> {
        match self {
            Self::OpenAi => openai(event),
            Self::Anthropic => anthropic(event),
        }
    }
}

/// Text that borrows from the event unless it is escaped. (An `Option` of a `Cow` would never borrow.)
#[derive(Default, Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

fn openai(event: &ReceivedEvent) -> Result<Part<'_>, String> {
    #[derive(Deserialize)]
    struct Chunk<'a> {
        #[serde(borrow, default)]
        choices: Vec<Choice<'a>>,
        usage: Option<Usage>,
        #[serde(borrow)]
        error: Option<ApiError<'a>>,
    }

    #[derive(Default, Deserialize)]
    struct Choice<'a> {
        #[serde(borrow, default)]
        delta: Delta<'a>,
        #[serde(borrow)]
        finish_reason: Option<Text<'a>>,
    }

    #[derive(Default, Deserialize)]
    struct Delta<'a> {
        #[serde(borrow)]
        content: Option<Text<'a>>,
    }

    #[derive(Deserialize)]
    struct Usage {
        completion_tokens: u64,
    }

    let Chunk { choices, usage, error } = json(event)?;
    if let Some(error) = error {
        return Err(error.to_string());
    }
    // There is one choice, and none in the event with the usage.
    let Choice { delta, finish_reason } = choices.into_iter().next().unwrap_or_default();
    Ok(Part {
        text: delta.content.unwrap_or_default().0,
        stop: finish_reason.map(|reason| reason.0),
        tokens: usage.map(|usage| usage.completion_tokens),
    })
}

fn anthropic(event: &ReceivedEvent) -> Result<Part<'_>, String> {
    #[derive(Deserialize)]
    struct BlockDelta<'a> {
        #[serde(borrow)]
        delta: TextDelta<'a>,
    }

    /// Other types than `text_delta` have no text, but for example a thought.
    #[derive(Deserialize)]
    struct TextDelta<'a> {
        #[serde(borrow, default)]
        text: Text<'a>,
    }

    #[derive(Deserialize)]
    struct MessageDelta<'a> {
        #[serde(borrow)]
        delta: Stop<'a>,
        usage: Option<Usage>,
    }

    #[derive(Deserialize)]
    struct Stop<'a> {
        #[serde(borrow)]
        stop_reason: Option<Text<'a>>,
    }

    #[derive(Deserialize)]
    struct Usage {
        output_tokens: u64,
    }

    match &*event.event_type {
        "content_block_delta" => {
            let BlockDelta { delta } = json(event)?;
            Ok(Part { text: delta.text.0, ..Part::default() })
        }
        "message_delta" => {
            let MessageDelta { delta, usage } = json(event)?;
            let stop = delta.stop_reason.map(|reason| reason.0);
            Ok(Part { stop, tokens: usage.map(|usage| usage.output_tokens), ..Part::default() })
        }
        "error" => Err(json::<Failure<'_>>(event)?.error.to_string()),
        // `message_start`, `content_block_start`, `content_block_stop`, `ping`, and future types.
        _ => Ok(Part::default()),
    }
}

fn json<'a, T: Deserialize<'a>>(event: &'a ReceivedEvent) -> Result<T, String> {
    event.json().map_err(|error: JsonDecodeError| error.to_string())
}

#[derive(Deserialize)]
struct Failure<'a> {
    #[serde(borrow)]
    error: ApiError<'a>,
}

#[derive(Deserialize)]
struct ApiError<'a> {
    #[serde(borrow)]
    r#type: Option<Text<'a>>,
    #[serde(borrow)]
    message: Text<'a>,
}

impl fmt::Display for ApiError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.r#type {
            Some(Text(kind)) => write!(f, "{kind}: {}", self.message.0),
            None => f.write_str(&self.message.0),
        }
    }
}

/// Returns the message in the body of a refusal, if there is one. It is the same in both formats.
pub(crate) fn refusal(body: &[u8]) -> Option<String> {
    serde_json::from_slice::<Failure<'_>>(body).ok().map(|failure| failure.error.to_string())
}
