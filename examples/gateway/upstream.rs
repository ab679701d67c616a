//! A stand-in for a language model: an upstream that speaks OpenAI's streaming format, and has little to say.

use std::io;
use std::net::TcpListener;
use std::time::{Duration, SystemTime};

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{BoxError, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use ssekit::axum::{CloseReason, Sender, Sse, serve};
use ssekit::{Event, Frame};
use tokio::time::sleep;

use crate::{error_object, in_json};

pub(crate) const MODEL: &str = "demo-1";
/// That which breaks off.
pub(crate) const BROKEN: &str = "demo-broken";

const ANSWER: &str = "Each of these words is an event. It was sent as soon as it was there, and has gone through the \
    gateway as the same bytes, but for the first and the last event, which name the model.";

/// Serves for as long as the program runs.
pub(crate) fn start(listener: TcpListener) -> io::Result<()> {
    let router = Router::new().route("/v1/chat/completions", post(completions));
    tokio::spawn(serve(listener, router)?.into_future());
    Ok(())
}

#[derive(Deserialize)]
struct Prompt {
    model: String,
    #[serde(default)]
    stream: bool,
}

async fn completions(body: String) -> Response {
    let Ok(prompt) = serde_json::from_str::<Prompt>(&body) else {
        return in_json(StatusCode::BAD_REQUEST, &error_object("this is no request for a completion"));
    };
    if !prompt.stream {
        let message = json!({ "role": "assistant", "content": ANSWER });
        let choices = json!([{ "index": 0, "message": message, "finish_reason": "stop" }]);
        let answer = json!({ "object": "chat.completion", "model": MODEL, "choices": choices });
        return in_json(StatusCode::OK, &answer);
    }
    let stream = Sse::from_fn(|sender| write(sender, prompt.model == BROKEN));
    let stream = stream.on_close(|reason| {
        if reason == CloseReason::ClientGone {
            eprintln!("upstream: the request was cancelled");
        }
    });
    stream.into_response()
}

async fn write(sender: Sender, is_broken: bool) -> Result<(), BoxError> {
    let created = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let chunk = |delta: Value, finish_reason: Value, more: Value| {
        let choices = json!([{ "index": 0, "delta": delta, "finish_reason": finish_reason }]);
        let mut chunk = json!({ "id": "1", "object": "chat.completion.chunk", "created": created, "choices": choices });
        if let (Some(chunk), Value::Object(more)) = (chunk.as_object_mut(), more) {
            chunk.extend(more);
        }
        Frame::json(Event::new(), &chunk)
    };
    sender.send(chunk(json!({ "role": "assistant", "content": "" }), Value::Null, json!({ "model": MODEL }))?).await?;
    let words = ANSWER.split_inclusive(' ');
    let tokens = words.clone().count();
    for (n, word) in words.enumerate() {
        sleep(Duration::from_millis(60)).await;
        if is_broken && n == tokens / 2 {
            return Err("the model has lost its thread".into());
        }
        sender.send(chunk(json!({ "content": word }), Value::Null, Value::Null)?).await?;
    }
    let usage = json!({ "completion_tokens": tokens });
    sender.send(chunk(json!({}), json!("stop"), json!({ "model": MODEL, "usage": usage }))?).await?;
    sender.send(Event::data("[DONE]")).await?;
    Ok(())
}
