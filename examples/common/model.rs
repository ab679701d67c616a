//! A stand-in for a language model. It streams one short answer in the formats of OpenAI and of Anthropic.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{BoxError, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use ssekit::axum::{CloseReason, Sender, Sse, serve};
use ssekit::{EncodedEvent, Event, EventType};
use tokio::time::sleep;

pub(crate) const MODEL: &str = "demo-1";
/// The model whose answer breaks off.
pub(crate) const BROKEN: &str = "demo-broken";

const ANSWER: &str = "Each of these words is an event. It was sent as soon as it was there, and nobody on its way has \
    waited for the next: what you read now was written while you have read the others.";

/// Serves for as long as the program runs.
pub(crate) fn start(listener: TcpListener) -> io::Result<()> {
    let router = Router::new()
        .route("/v1/chat/completions", post(|body| answer(Format::OpenAi, body)))
        .route("/v1/messages", post(|body| answer(Format::Anthropic, body)));
    tokio::spawn(serve(listener, router)?.into_future());
    Ok(())
}

pub(crate) fn in_json(status: StatusCode, value: &Value) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

#[derive(Deserialize)]
struct Prompt {
    model: String,
    #[serde(default)]
    stream: bool,
}

async fn answer(format: Format, body: String) -> Response {
    let Ok(prompt) = serde_json::from_str::<Prompt>(&body) else {
        let error = json!({ "type": "invalid_request_error", "message": "this is no request for a completion" });
        return in_json(StatusCode::BAD_REQUEST, &json!({ "type": "error", "error": error }));
    };
    if !prompt.stream {
        return in_json(StatusCode::OK, &format.whole());
    }
    let is_done = Arc::new(AtomicBool::new(false));
    let of_stream = is_done.clone();
    let stream = Sse::from_fn(async move |sender| {
        write(format, &sender, prompt.model == BROKEN).await?;
        // A client that knows the last event may disconnect before the end of the stream.
        is_done.store(true, Ordering::Relaxed);
        sender.send(format.end()?).await?;
        Ok::<(), BoxError>(())
    });
    let stream = stream.on_close(move |reason| {
        if reason == CloseReason::ClientGone && !of_stream.load(Ordering::Relaxed) {
            eprintln!("upstream: the request was cancelled");
        }
    });
    stream.into_response()
}

/// Sends all events except the last one.
async fn write(format: Format, sender: &Sender, is_broken: bool) -> Result<(), BoxError> {
    for event in format.before() {
        sender.send(event?).await?;
    }
    let words = ANSWER.split_inclusive(' ');
    let tokens = words.clone().count();
    for (n, word) in words.enumerate() {
        sleep(Duration::from_millis(60)).await;
        if is_broken && n == tokens / 2 {
            return Err("the model has lost its thread".into());
        }
        sender.send(format.word(word)?).await?;
    }
    for event in format.after(tokens) {
        sender.send(event?).await?;
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Format {
    OpenAi,
    Anthropic,
}

impl Format {
    /// Returns the whole answer, for a request without a stream.
    fn whole(self) -> Value {
        match self {
            Self::OpenAi => {
                let message = json!({ "role": "assistant", "content": ANSWER });
                let choices = json!([{ "index": 0, "message": message, "finish_reason": "stop" }]);
                json!({ "object": "chat.completion", "model": MODEL, "choices": choices })
            }
            Self::Anthropic => {
                let content = json!([{ "type": "text", "text": ANSWER }]);
                let usage = json!({ "input_tokens": 1, "output_tokens": ANSWER.split(' ').count() });
                json!({ "id": "1", "type": "message", "role": "assistant", "model": MODEL, "content": content,
                    "stop_reason": "end_turn", "stop_sequence": null, "usage": usage })
            }
        }
    }

    fn before(self) -> Vec<Result<EncodedEvent, BoxError>> {
        match self {
            Self::OpenAi => {
                let delta = json!({ "role": "assistant", "content": "" });
                vec![chunk(delta, Value::Null, json!({ "model": MODEL }))]
            }
            Self::Anthropic => {
                let usage = json!({ "input_tokens": 1, "output_tokens": 1 });
                let message = json!({ "id": "1", "type": "message", "role": "assistant", "model": MODEL, "content": [],
                    "stop_reason": null, "stop_sequence": null, "usage": usage });
                let block = json!({ "type": "text", "text": "" });
                vec![
                    event(json!({ "type": "message_start", "message": message })),
                    event(json!({ "type": "content_block_start", "index": 0, "content_block": block })),
                    event(json!({ "type": "ping" })),
                ]
            }
        }
    }

    fn word(self, word: &str) -> Result<EncodedEvent, BoxError> {
        match self {
            Self::OpenAi => chunk(json!({ "content": word }), Value::Null, Value::Null),
            Self::Anthropic => {
                let delta = json!({ "type": "text_delta", "text": word });
                event(json!({ "type": "content_block_delta", "index": 0, "delta": delta }))
            }
        }
    }

    fn after(self, tokens: usize) -> Vec<Result<EncodedEvent, BoxError>> {
        match self {
            Self::OpenAi => {
                let usage = json!({ "completion_tokens": tokens });
                vec![chunk(json!({}), json!("stop"), json!({ "model": MODEL, "usage": usage }))]
            }
            Self::Anthropic => {
                let delta = json!({ "stop_reason": "end_turn", "stop_sequence": null });
                vec![
                    event(json!({ "type": "content_block_stop", "index": 0 })),
                    event(json!({ "type": "message_delta", "delta": delta, "usage": { "output_tokens": tokens } })),
                ]
            }
        }
    }

    fn end(self) -> Result<EncodedEvent, BoxError> {
        match self {
            Self::OpenAi => Ok(Event::data("[DONE]").into()),
            Self::Anthropic => event(json!({ "type": "message_stop" })),
        }
    }
}

/// Encodes a chunk in the format of OpenAI.
fn chunk(delta: Value, finish_reason: Value, more: Value) -> Result<EncodedEvent, BoxError> {
    let created = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let choices = json!([{ "index": 0, "delta": delta, "finish_reason": finish_reason }]);
    let mut chunk = json!({ "id": "1", "object": "chat.completion.chunk", "created": created, "choices": choices });
    if let (Some(chunk), Value::Object(more)) = (chunk.as_object_mut(), more) {
        chunk.extend(more);
    }
    Ok(EncodedEvent::json(&Event::new(), &chunk)?)
}

/// Encodes an event in the format of Anthropic: its event type is the type in its data.
fn event(data: Value) -> Result<EncodedEvent, BoxError> {
    let event_type = EventType::new(data["type"].as_str().unwrap_or_default())?;
    Ok(EncodedEvent::json(&Event::new().with_event_type(event_type), &data)?)
}
