//! A stream: an event source for the harness, whose items are posted back.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use axum::BoxError;
use axum::http::header::CONTENT_TYPE;
use serde::{Deserialize, Serialize};
use ssekit::Limits;
use ssekit::client::reqwest::{Client, Method, Url};
use ssekit::client::{EventSource, RetryPolicy, SourceItem};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// The longest data. The harness sends events of up to 128 MiB and a byte.
const MAX_DATA: usize = 256 << 20;
/// The first and the longest backoff. The harness waits a few seconds only.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Parameters {
    stream_url: String,
    callback_url: String,
    /// The name of the test.
    tag: Option<String>,
    initial_delay_ms: Option<u64>,
    read_timeout_ms: Option<NonZeroU64>,
    last_event_id: Option<String>,
    headers: Option<HashMap<String, String>>,
    method: Option<String>,
    body: Option<String>,
}

pub(crate) struct Stream {
    restart: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Stream {
    pub(crate) fn start(parameters: Parameters, client: &Client) -> Result<Self, BoxError> {
        let tag = parameters.tag.clone().unwrap_or_else(|| "a stream".to_owned());
        let callbacks = Callbacks::new(&parameters.callback_url, client)?;
        let events = event_source(parameters, client)?;
        let restart = Arc::<Notify>::default();
        let task = report(events, callbacks, restart.clone());
        let task = tokio::spawn(async move {
            let end = task.await.unwrap_or_else(|error| format!("callbacks failed: {error}"));
            eprintln!("contract_service: {tag}: {end}");
        });
        Ok(Self { restart, task })
    }

    pub(crate) fn restart(&self) {
        self.restart.notify_one();
    }

    /// Drops the event source and its post under way. Nothing is posted after this.
    pub(crate) async fn close(self) {
        self.task.abort();
        // The task ends when it next waits for something. It may be running now.
        let _ = self.task.await;
    }
}

fn event_source(parameters: Parameters, client: &Client) -> Result<EventSource, BoxError> {
    let method = parameters.method.as_deref().unwrap_or("GET");
    let mut retry = RetryPolicy::new().with_backoff(BACKOFF.0, BACKOFF.1);
    if let Some(delay) = parameters.initial_delay_ms {
        retry = retry.with_reconnection_time(Duration::from_millis(delay));
    }
    let mut builder = EventSource::request(Method::from_bytes(method.as_bytes())?, parameters.stream_url)
        .with_client(client.clone())
        .with_retry_policy(retry)
        .with_idle_timeout(parameters.read_timeout_ms.map(|limit| Duration::from_millis(limit.get())))
        .with_limits(Limits { data: MAX_DATA, ..Limits::default() })
        .with_last_event_id(parameters.last_event_id.unwrap_or_default())
        .with_comments();
    for (name, value) in parameters.headers.unwrap_or_default() {
        builder = builder.with_header(name, value);
    }
    if let Some(body) = parameters.body {
        builder = builder.with_body(body);
    }
    Ok(builder.build()?)
}

/// Posts items until the source ends, and returns the reason.
async fn report(mut events: EventSource, mut callbacks: Callbacks, restart: Arc<Notify>) -> Result<String, BoxError> {
    loop {
        let item = tokio::select! {
            // First, so that no item of the old connection follows the restart.
            biased;
            () = restart.notified() => {
                events.restart();
                continue;
            }
            item = events.next() => item,
        };
        match item {
            Some(Ok(SourceItem::Event(event))) => {
                let event = Event { event_type: &event.event_type, data: &event.data, id: &event.last_event_id };
                callbacks.post(&Callback::Event { event }).await?;
            }
            Some(Ok(SourceItem::Comment(comment))) => callbacks.post(&Callback::Comment { comment: &comment }).await?,
            // The harness knows about openings.
            Some(Ok(_)) => {}
            // This includes the end of a connection. The text says whether there is another attempt.
            Some(Err(error)) => callbacks.post(&Callback::Error { error: error.to_string() }).await?,
            None => return Ok(events.end_reason().map(|reason| reason.to_string()).unwrap_or_default()),
        }
    }
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Callback<'a> {
    Event { event: Event<'a> },
    Comment { comment: &'a str },
    Error { error: String },
}

#[derive(Serialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    event_type: &'a str,
    data: &'a str,
    id: &'a str,
}

/// Posts the items of a stream one by one, each to a URL with its number.
struct Callbacks {
    client: Client,
    url: String,
    posted: u64,
}

impl Callbacks {
    fn new(url: &str, client: &Client) -> Result<Self, BoxError> {
        let parsed = Url::parse(url).map_err(|error| format!("invalid callback url: {error}"))?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err("invalid callback url: the scheme must be http or https".into());
        }
        Ok(Self { client: client.clone(), url: url.trim_end_matches('/').to_owned(), posted: 0 })
    }

    async fn post(&mut self, callback: &Callback<'_>) -> Result<(), BoxError> {
        self.posted += 1;
        let post = self.client.post(format!("{}/{}", self.url, self.posted)).header(CONTENT_TYPE, "application/json");
        post.body(serde_json::to_vec(callback)?).send().await?.error_for_status()?;
        Ok(())
    }
}
