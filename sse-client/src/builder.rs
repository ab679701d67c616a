use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::time::Duration;
use std::error;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use percent_encoding::percent_decode_str;
use ssekit_core::{Limits, MessageEvent};
use url::Url;

use crate::client::client_builder;
use crate::error::BoxError;
use crate::event_source::EventSource;
use crate::machine::{InvalidId, InvalidUrl, Machine, OneShot, RetryPolicy};
use crate::request::{Attempt, MAX_HEADERS, Parts, is_reserved, keep_secret};

/// What an [`EventSource`] asks for, and how.
///
/// What is wrong with it is said by [`build`](Self::build).
#[must_use]
pub struct EventSourceBuilder {
    url: String,
    method: Method,
    parts: Parts,
    is_json: bool,
    response: Option<reqwest::Response>,
    client: Option<reqwest::Client>,
    retry: Option<RetryPolicy>,
    connect_timeout: Option<Duration>,
    idle_timeout: Option<Duration>,
    max_redirects: Option<u32>,
    limits: Limits,
    last_event_id: String,
    one_shot: Option<OneShot>,
    has_comments: bool,
    error: Option<InvalidRequest>,
}

/// Only what is no secret is shown.
impl fmt::Debug for EventSourceBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventSourceBuilder")
            .field("method", &self.method)
            .field("retry", &self.retry)
            .field("connect_timeout", &self.connect_timeout)
            .field("idle_timeout", &self.idle_timeout)
            .field("limits", &self.limits)
            .field("last_event_id", &self.last_event_id)
            .finish_non_exhaustive()
    }
}

impl EventSource {
    /// Asks for an event stream by `GET`.
    pub fn get(url: impl AsRef<str>) -> EventSourceBuilder {
        Self::request(Method::GET, url)
    }

    /// Asks for one by `POST`.
    pub fn post(url: impl AsRef<str>) -> EventSourceBuilder {
        Self::request(Method::POST, url)
    }

    /// Asks for one by any method.
    pub fn request(method: Method, url: impl AsRef<str>) -> EventSourceBuilder {
        EventSourceBuilder::new(method, url.as_ref())
    }
}

impl EventSourceBuilder {
    fn new(method: Method, url: &str) -> Self {
        Self {
            url: url.to_string(),
            method,
            parts: Parts::default(),
            is_json: false,
            response: None,
            client: None,
            retry: None,
            connect_timeout: Some(Duration::from_secs(60)),
            idle_timeout: None,
            max_redirects: None,
            limits: Limits::default(),
            last_event_id: String::new(),
            one_shot: None,
            has_comments: false,
            error: None,
        }
    }

    /// The same, with a header field. A name that is there already gets another value beside the first.
    ///
    /// It wins over the `Accept` and the `Cache-Control` that an EventSource sends. When a redirect leads off the origin that
    /// was asked for, be it back to it, it is not sent any more, unless it is `Accept`, `Accept-Language`, `Cache-Control`,
    /// `User-Agent`, or one that describes a body, such as `Content-Type`. (The last event ID and, where the method stays, the
    /// body do go there, as browsers send them.)
    ///
    /// `Last-Event-ID`, `Content-Length` and `Transfer-Encoding` are not the program's to set. There are at most 1,000 fields.
    pub fn with_header<N, V>(mut self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName>,
        V: TryInto<HeaderValue>,
    {
        match (name.try_into(), value.try_into()) {
            (Ok(name), _) if is_reserved(&name) => self.fail(InvalidRequest::ReservedHeader { name }),
            _ if self.parts.headers.len() >= MAX_HEADERS => self.fail(InvalidRequest::TooManyHeaders),
            (Ok(name), Ok(value)) => {
                let mut value: HeaderValue = value;
                keep_secret(&name, &mut value);
                self.parts.headers.append(name, value);
            }
            // The value may be a secret, and a name of bytes that are none is not worth showing.
            (Err(_), _) => self.fail(InvalidRequest::HeaderName),
            (Ok(name), Err(_)) => self.fail(InvalidRequest::HeaderValue { name }),
        }
        self
    }

    /// The same, with header fields that are asked for before each attempt, for a token that does not last, say. They win
    /// over those of [`with_header`](Self::with_header), and leave the origin no more than they do. They are asked for again
    /// behind each redirect.
    ///
    /// An error is a failure as others are, [`Failure::Headers`](crate::machine::Failure::Headers), and is tried again by
    /// the retry policy. A field that is not the program's to set is the end, and so are more than 1,000.
    ///
    /// ```
    /// use http::{HeaderMap, HeaderValue, header};
    /// use ssekit_client::EventSource;
    ///
    /// # use std::sync::Arc;
    /// # struct Tokens;
    /// # impl Tokens {
    /// #     async fn get(&self, renew: bool) -> Result<String, std::io::Error> { Ok(format!("{renew}")) }
    /// # }
    /// # let tokens = Arc::new(Tokens);
    /// let source = EventSource::get("https://example.com/events").with_headers_from(move |attempt| {
    ///     let tokens = tokens.clone();
    ///     async move {
    ///         let token = tokens.get(attempt.last_status == Some(401)).await?;
    ///         let value = HeaderValue::from_str(&format!("Bearer {token}"))?;
    ///         Ok(HeaderMap::from_iter([(header::AUTHORIZATION, value)]))
    ///     }
    /// });
    /// # source.build().unwrap();
    /// ```
    pub fn with_headers_from<F>(mut self, headers: impl Fn(Attempt) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<HeaderMap, BoxError>> + Send + 'static,
    {
        let headers = move |attempt| -> Pin<Box<dyn Future<Output = _> + Send>> { Box::pin(headers(attempt)) };
        self.parts.headers_of = Some(Arc::new(headers));
        self
    }

    /// The same, with a body, which is sent with each attempt. Its `Content-Type` is a header field to be set.
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        (self.parts.body, self.is_json) = (Some(body.into()), false);
        self
    }

    /// The same, with a body of JSON, and `Content-Type: application/json` unless another is set.
    #[cfg(feature = "json")]
    pub fn with_json(mut self, value: &(impl serde::Serialize + ?Sized)) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => (self.parts.body, self.is_json) = (Some(body.into()), true),
            Err(error) => self.fail(InvalidRequest::Json(error.to_string())),
        }
        self
    }

    /// The same, on a client of the program's: with its pool of connections, its certificates and its proxy. It should be from
    /// [`client_builder`]: one that follows redirects by itself does so without what is said here of them. It should have no
    /// secrets among its default header fields, which reqwest sends to wherever a redirect leads.
    ///
    /// Without this each event source has a client of its own, which takes milliseconds to make, and shares no connection with
    /// others. A client must not be shared between runtimes of tokio.
    pub fn with_client(mut self, client: reqwest::Client) -> Self {
        self.client = Some(client);
        self
    }

    /// The same, with another policy of trying again than [`RetryPolicy::new`].
    pub fn with_retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = Some(policy);
        self
    }

    /// The same, with another limit to how long an attempt may take until there is the head of a response than 60 seconds;
    /// the application's own header fields and redirects included. 0 is none.
    pub fn with_connect_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.connect_timeout = limit.into();
        self
    }

    /// The same, with a limit to how long nothing may come while the stream is open, behind which the connection is taken for
    /// dead. Any byte counts, those of comments too, as servers send them to keep connections alive; of a compressed
    /// body, any byte that has been decompressed. Without this there is none, nor with 0.
    pub fn with_idle_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.idle_timeout = limit.into();
        self
    }

    /// The same, with at most so many redirects followed in an attempt, instead of 20.
    pub fn with_max_redirects(mut self, limit: u32) -> Self {
        self.max_redirects = Some(limit);
        self
    }

    /// The same, with other limits to events than [`Limits::default`]. One that is over them is an error, and dropped, and
    /// the stream goes on.
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The same, with the response that the program has already, instead of the first attempt's: to a request whose answer may
    /// be an event stream or something else, such as the Model Context Protocol's. Further attempts are the builder's
    /// requests. It is taken for one from the builder's URL.
    ///
    /// ```no_run
    /// use ssekit_client::EventSource;
    ///
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let client = ssekit_client::client_builder().build()?;
    /// let url = "https://example.com/mcp";
    /// let response = client.post(url).header("accept", "application/json, text/event-stream").body("{}").send().await?;
    /// let content_type = response.headers().get("content-type").and_then(|value| value.to_str().ok());
    /// if content_type.is_some_and(|value| value.starts_with("text/event-stream")) {
    ///     // If it breaks off, it is gone on with by GET and the last event ID.
    ///     let mut answer = EventSource::get(url).with_client(client).with_response(response).build()?;
    ///     while let Some(event) = answer.next_event().await? {
    ///         println!("{}", event.data);
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_response(mut self, response: reqwest::Response) -> Self {
        self.response = Some(response);
        self
    }

    /// The same, behind this event: where another program, or this one before, has stopped. An empty ID is none.
    pub fn with_last_event_id(mut self, id: impl Into<String>) -> Self {
        self.last_event_id = id.into();
        self
    }

    /// The same, for a stream that is had once, such as a language model's answer: an event whose data is `[DONE]` is none,
    /// but the end, and so is the end of the stream, unless that is amid an event, and neither is an error. Which of both it
    /// was says [`EventSource::end`]: one that was closed before it was done may not be whole. Where all streams say when they
    /// are done, [`with_one_shot_until`](Self::with_one_shot_until) makes an error of that.
    ///
    /// There is no other attempt. With a [policy](Self::with_retry) of its own there is, as long as the stream was not open.
    pub fn with_one_shot(mut self) -> Self {
        self.one_shot = Some(OneShot::Done);
        self
    }

    /// The same, where an event that `is_done` is true for is the end, in place of `[DONE]`, and must come. A stream that is
    /// closed before it is not whole, and that is an error: [`Failure::StreamEnd`](crate::machine::Failure::StreamEnd).
    ///
    /// ```
    /// use ssekit_client::EventSource;
    ///
    /// let answer = EventSource::post("https://api.anthropic.com/v1/messages")
    ///     .with_one_shot_until(|event| event.event_type == "message_stop");
    /// # answer.build().unwrap();
    /// ```
    pub fn with_one_shot_until(mut self, is_done: impl Fn(&MessageEvent<'_>) -> bool + Send + Sync + 'static) -> Self {
        self.one_shot = Some(OneShot::Until(Box::new(is_done)));
        self
    }

    /// The same, with [comments](crate::Item::Comment) among what it gives. Those of more bytes than the data of an event may
    /// have are errors.
    pub fn with_comments(mut self) -> Self {
        self.has_comments = true;
        self
    }

    /// The event source. It does nothing until it is polled.
    ///
    /// # Errors
    ///
    /// [`InvalidRequest`] when what was asked for is no request.
    pub fn build(mut self) -> Result<EventSource, InvalidRequest> {
        if let Some(error) = self.error {
            return Err(error);
        }
        self.parts.credentials = credentials(&self.url);
        if self.is_json {
            let value = HeaderValue::from_static("application/json");
            self.parts.headers.entry(http::header::CONTENT_TYPE).or_insert(value);
        }
        let mut machine = Machine::new(&self.url, fastrand::u64(..))
            .map_err(InvalidRequest::Url)?
            .with_method(self.method.as_str(), self.parts.body.is_some())
            .with_limits(self.limits);
        match (self.retry, &self.one_shot) {
            (Some(policy), _) => machine = machine.with_retry(policy),
            (None, Some(_)) => machine = machine.with_retry(RetryPolicy::never()),
            (None, None) => {}
        }
        if let Some(one_shot) = self.one_shot {
            machine = machine.set_one_shot(one_shot);
        }
        if let Some(limit) = self.connect_timeout {
            machine = machine.with_connect_timeout(limit);
        }
        if let Some(limit) = self.idle_timeout {
            machine = machine.with_idle_timeout(limit);
        }
        if let Some(limit) = self.max_redirects {
            machine = machine.with_max_redirects(limit);
        }
        machine.set_last_event_id(&self.last_event_id).map_err(InvalidRequest::LastEventId)?;
        let client = match self.client {
            Some(client) => client,
            None => client_builder().build().map_err(|error| InvalidRequest::Client(error.into()))?,
        };
        Ok(EventSource::new(machine, client, self.parts, self.response, self.has_comments))
    }

    /// The first error is the one that is told.
    fn fail(&mut self, error: InvalidRequest) {
        self.error.get_or_insert(error);
    }
}

/// The user's name and password in a URL, if it is one.
fn credentials(url: &str) -> Option<(String, Option<String>)> {
    let url = Url::parse(url).ok()?;
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    match (url.username(), url.password()) {
        ("", None) => None,
        (user, password) => Some((decode(user), password.map(decode))),
    }
}

/// Why there is no event source.
#[derive(Debug)]
#[non_exhaustive]
pub enum InvalidRequest {
    /// The URL is none.
    Url(InvalidUrl),
    /// The name of a header field cannot be one.
    HeaderName,
    /// A header field is not the program's to set: see [`EventSourceBuilder::with_header`].
    ReservedHeader {
        /// Its name.
        name: HeaderName,
    },
    /// The value of a header field cannot be one: it has control characters in it.
    HeaderValue {
        /// The name.
        name: HeaderName,
    },
    /// There are more than 1,000 header fields.
    TooManyHeaders,
    /// The body cannot be serialised as JSON: what the serializer says.
    Json(String),
    /// The last event ID cannot be one.
    LastEventId(InvalidId),
    /// There is no HTTP client: TLS cannot be set up, as a rule.
    Client(BoxError),
}

impl fmt::Display for InvalidRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(error) => error.fmt(f),
            Self::HeaderName => f.write_str("name of a header field is invalid"),
            Self::ReservedHeader { name } => write!(f, "header field {name} is not the program's to set"),
            Self::HeaderValue { name } => write!(f, "value of the header field {name} is invalid"),
            Self::TooManyHeaders => write!(f, "there are more than {MAX_HEADERS} header fields"),
            Self::Json(error) => write!(f, "body cannot be serialised as json: {error}"),
            Self::LastEventId(error) => error.fmt(f),
            Self::Client(error) => write!(f, "there is no http client: {error}"),
        }
    }
}

impl error::Error for InvalidRequest {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            // The error itself is in the text already.
            Self::Client(error) => error.source(),
            _ => None,
        }
    }
}
