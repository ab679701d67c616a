//! The settings of an event source.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use percent_encoding::percent_decode_str;
use ssekit_core::{Limits, MessageEvent};
use url::Url;

use crate::client_error::BoxError;
use crate::event_source::EventSource;
use crate::http_client::client_builder;
use crate::invalid_request::InvalidRequest;
use crate::machine::{ClientMachine, RetryPolicy, SingleResponse};
use crate::request::{Attempt, MAX_HEADERS, RequestParts, Requests, mark_secret, reserved};

/// The settings of an [`EventSource`]: its request, its limits and its retry policy.
///
/// Methods that get an invalid value do not fail; [`build`](Self::build) returns the first error.
///
/// ```
/// use std::time::Duration;
/// use ssekit_client::{EventSource, RetryPolicy};
///
/// let source = EventSource::get("https://example.com/events")
///     .with_header("authorization", "Bearer x")
///     .with_idle_timeout(Duration::from_secs(60))
///     .with_retry_policy(RetryPolicy::new().with_max_retries(10))
///     .build()?;
/// assert_eq!(source.last_event_id(), "");
///
/// let error = EventSource::get("https://example.com/events").with_header("x y", "z").build().unwrap_err();
/// assert_eq!(error.to_string(), "invalid header name \"x y\": ' ' is not allowed");
/// # Ok::<(), ssekit_client::InvalidRequest>(())
/// ```
#[must_use]
pub struct EventSourceBuilder {
    url: String,
    method: Method,
    parts: RequestParts,
    /// Whether the body is JSON, and so needs a content type.
    is_json: bool,
    first_response: Option<reqwest::Response>,
    client: Option<reqwest::Client>,
    /// The policy; `None` for the default, which depends on `single_response`.
    retry_policy: Option<RetryPolicy>,
    response_timeout: Option<Duration>,
    idle_timeout: Option<Duration>,
    max_redirects: u32,
    limits: Limits,
    last_event_id: String,
    single_response: Option<SingleResponse>,
    has_comments: bool,
    /// The first error.
    error: Option<InvalidRequest>,
}

/// Shows only settings that are not secret.
impl fmt::Debug for EventSourceBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventSourceBuilder")
            .field("method", &self.method)
            .field("retry_policy", &self.retry_policy)
            .field("response_timeout", &self.response_timeout)
            .field("idle_timeout", &self.idle_timeout)
            .field("limits", &self.limits)
            .field("last_event_id", &self.last_event_id)
            .finish_non_exhaustive()
    }
}

impl EventSource {
    /// Requests an event stream by `GET`.
    pub fn get(url: impl AsRef<str>) -> EventSourceBuilder {
        Self::request(Method::GET, url)
    }

    /// Requests an event stream by `POST`.
    pub fn post(url: impl AsRef<str>) -> EventSourceBuilder {
        Self::request(Method::POST, url)
    }

    /// Requests an event stream by any method.
    pub fn request(method: Method, url: impl AsRef<str>) -> EventSourceBuilder {
        EventSourceBuilder::new(method, url.as_ref())
    }
}

impl EventSourceBuilder {
    fn new(method: Method, url: &str) -> Self {
        Self {
            url: url.to_string(),
            method,
            parts: RequestParts::default(),
            is_json: false,
            first_response: None,
            client: None,
            retry_policy: None,
            response_timeout: Some(Duration::from_secs(60)),
            idle_timeout: None,
            max_redirects: 20,
            limits: Limits::default(),
            last_event_id: String::new(),
            single_response: None,
            has_comments: false,
            error: None,
        }
    }

    /// Adds a header field. A name that was added before gets another value.
    ///
    /// - It replaces the `Accept` and `Cache-Control` of an EventSource.
    /// - After a redirect to another origin it is no longer sent, even if a later redirect returns. Exceptions are `Accept`,
    ///   `Accept-Language`, `Cache-Control`, `User-Agent`, and fields that describe a body, such as `Content-Type`. (The last
    ///   event ID and, if the method stays the same, the body are sent there, as browsers do.)
    /// - `Last-Event-ID`, `Content-Length` and `Transfer-Encoding` are reserved: [`build`](Self::build) returns an error.
    /// - There are at most 1,000 header fields.
    pub fn with_header<N, V>(mut self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName> + AsRef<[u8]>,
        V: TryInto<HeaderValue>,
    {
        let invalid_name = InvalidRequest::header_name(name.as_ref());
        match (name.try_into(), value.try_into()) {
            (Ok(name), _) if reserved(&name).is_some() => self.fail(InvalidRequest::ReservedHeader { name }),
            _ if self.parts.headers.len() >= MAX_HEADERS => self.fail(InvalidRequest::TooManyHeaders),
            (Ok(name), Ok(value)) => {
                let mut value: HeaderValue = value;
                mark_secret(&name, &mut value);
                self.parts.headers.append(name, value);
            }
            (Err(_), _) => self.fail(invalid_name),
            (Ok(name), Err(_)) => self.fail(InvalidRequest::HeaderValue { name }),
        }
        self
    }

    /// Sets a callback that returns header fields before each request, for example a token that expires.
    ///
    /// Its fields replace those of [`with_header`](Self::with_header) with the same names, and follow the same rules. The
    /// callback is called again after each redirect.
    ///
    /// An error of the callback is the failure [`Failure::Headers`](crate::Failure::Headers), which the retry policy
    /// can retry. A reserved field, or more than 1,000 fields in all, is a final error.
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
    /// let builder = EventSource::get("https://example.com/events").with_headers_from(move |attempt| {
    ///     let tokens = tokens.clone();
    ///     async move {
    ///         // Renews the token if the server refused the last one.
    ///         let token = tokens.get(attempt.last_status == Some(401)).await?;
    ///         let value = HeaderValue::from_str(&format!("Bearer {token}"))?;
    ///         Ok(HeaderMap::from_iter([(header::AUTHORIZATION, value)]))
    ///     }
    /// });
    /// assert!(builder.build().is_ok());
    /// ```
    pub fn with_headers_from<F>(mut self, callback: impl Fn(Attempt) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<HeaderMap, BoxError>> + Send + 'static,
    {
        let callback = move |attempt| -> Pin<Box<dyn Future<Output = _> + Send>> { Box::pin(callback(attempt)) };
        self.parts.headers_callback = Some(Arc::new(callback));
        self
    }

    /// Sets the body, which is sent with each attempt.
    ///
    /// It has no content type unless you add one by [`with_header`](Self::with_header).
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        (self.parts.body, self.is_json) = (Some(body.into()), false);
        self
    }

    /// Sets a JSON body, with the content type `application/json` unless you add another.
    #[cfg(feature = "json")]
    pub fn with_json(mut self, value: &(impl serde::Serialize + ?Sized)) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => (self.parts.body, self.is_json) = (Some(body.into()), true),
            Err(error) => self.fail(InvalidRequest::Json(error.to_string())),
        }
        self
    }

    /// Uses a reqwest client of the application, with its connection pool, certificates and proxy.
    ///
    /// Build it by [`client_builder`]. A client that follows redirects itself ignores the rules for redirects. A client must
    /// not have secrets in its default header fields, because reqwest sends them to every server that a redirect leads to.
    ///
    /// By default each event source builds its own client. This takes milliseconds, and shares no connections. Do not share a
    /// client between tokio runtimes.
    pub fn with_client(mut self, client: reqwest::Client) -> Self {
        self.client = Some(client);
        self
    }

    /// Sets the rules for further attempts.
    ///
    /// The default is [`RetryPolicy::new`], and [`RetryPolicy::never`] for a [single response](Self::with_single_response).
    pub fn with_retry_policy(mut self, policy: RetryPolicy) -> Self {
        self.retry_policy = Some(policy);
        self
    }

    /// Limits the time from the start of an attempt to the head of the response. 60 seconds by default.
    ///
    /// The callback for header fields and redirects are included. `None` and zero mean no limit.
    pub fn with_response_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.response_timeout = limit.into();
        self
    }

    /// Limits the time without any byte while the stream is open.
    ///
    /// After it the connection counts as lost. Servers send comments to keep connections alive; they count too. In a
    /// compressed body, decompressed bytes count. No limit by default; `None` and zero mean no limit.
    pub fn with_idle_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.idle_timeout = limit.into();
        self
    }

    /// Limits the number of redirects that an attempt follows. 20 by default.
    pub fn with_max_redirects(mut self, limit: u32) -> Self {
        self.max_redirects = limit;
        self
    }

    /// Sets the limits for events. [`Limits::default`] by default.
    ///
    /// An event over a limit is an error, and is dropped. The stream continues.
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Uses a response that the application has already, instead of the first request.
    ///
    /// Use it when only the response shows whether it is an event stream, as with the Model Context Protocol. Further attempts
    /// send the builder's request. The builder's URL counts as the URL of the response.
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
    ///     // If the connection breaks, the source continues by GET with the last event ID.
    ///     let mut answer = EventSource::get(url).with_client(client).with_response(response).build()?;
    ///     while let Some(event) = answer.next_event().await? {
    ///         println!("{}", event.data);
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_response(mut self, response: reqwest::Response) -> Self {
        self.first_response = Some(response);
        self
    }

    /// Continues after this event, where this or another program stopped. An empty ID means none.
    pub fn with_last_event_id(mut self, id: impl Into<String>) -> Self {
        self.last_event_id = id.into();
        self
    }

    /// Receives a single response, such as the answer of a language model. Once it has begun, no attempt follows.
    ///
    /// Two marks end it without an error, and [`EventSource::end_reason`] tells them apart:
    ///
    /// - an event whose data is `[DONE]`, which is not returned ([`Done`](crate::EndReason::Done));
    /// - an end of the body between two events ([`StreamEnd`](crate::EndReason::StreamEnd)). The response may not
    ///   be complete then.
    ///
    /// If all responses have an end marker, use [`with_single_response_until`](Self::with_single_response_until), which
    /// makes the second case an error.
    ///
    /// A failure before the response has begun is final too, unless you set a [retry policy](Self::with_retry_policy).
    pub fn with_single_response(mut self) -> Self {
        self.single_response = Some(SingleResponse::DoneOrBodyEnd);
        self
    }

    /// Receives a single response that ends with an event for which `is_end_marker` returns true.
    ///
    /// That event is not returned. If the body ends before it, this is the error
    /// [`Failure::StreamEnd`](crate::Failure::StreamEnd): the response is not complete.
    ///
    /// ```
    /// use ssekit_client::EventSource;
    ///
    /// let answer = EventSource::post("https://api.anthropic.com/v1/messages")
    ///     .with_single_response_until(|event| event.event_type == "message_stop");
    /// assert!(answer.build().is_ok());
    /// ```
    pub fn with_single_response_until(
        mut self,
        is_end_marker: impl Fn(&MessageEvent<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.single_response = Some(SingleResponse::Until(Box::new(is_end_marker)));
        self
    }

    /// Returns [comments](crate::SourceItem::Comment) too.
    ///
    /// A comment longer than the limit for the data of an event is an error, and is dropped.
    pub fn with_comments(mut self) -> Self {
        self.has_comments = true;
        self
    }

    /// Builds the event source. It does nothing until it is polled.
    ///
    /// # Errors
    ///
    /// [`InvalidRequest`] when a setting is invalid, or no HTTP client can be built.
    pub fn build(mut self) -> Result<EventSource, InvalidRequest> {
        if let Some(error) = self.error {
            return Err(error);
        }
        self.parts.credentials = credentials(&self.url);
        if self.is_json {
            let value = HeaderValue::from_static("application/json");
            self.parts.headers.entry(header::CONTENT_TYPE).or_insert(value);
        }
        let default_policy = match self.single_response {
            Some(_) => RetryPolicy::never(),
            None => RetryPolicy::new(),
        };
        let mut machine = ClientMachine::new(&self.url, fastrand::u64(..))
            .map_err(InvalidRequest::Url)?
            .with_method(self.method.as_str(), self.parts.body.is_some())
            .with_limits(self.limits)
            .with_retry_policy(self.retry_policy.unwrap_or(default_policy))
            .with_response_timeout(self.response_timeout)
            .with_idle_timeout(self.idle_timeout)
            .with_max_redirects(self.max_redirects);
        if let Some(single_response) = self.single_response {
            machine = machine.set_single_response(single_response);
        }
        machine.set_last_event_id(&self.last_event_id).map_err(InvalidRequest::LastEventId)?;
        let client = match self.client {
            Some(client) => client,
            None => client_builder().build().map_err(|error| InvalidRequest::Client(error.into()))?,
        };
        let (parts, first_response) = (self.parts, self.first_response);
        let requests = Requests { client, parts, first_response, last_status: None };
        Ok(EventSource::new(machine, requests, self.has_comments))
    }

    /// Keeps the error unless there is an earlier one.
    fn fail(&mut self, error: InvalidRequest) {
        self.error.get_or_insert(error);
    }
}

/// Returns the user name and password in a URL, percent-decoded.
fn credentials(url: &str) -> Option<(String, Option<String>)> {
    let url = Url::parse(url).ok()?;
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    match (url.username(), url.password()) {
        ("", None) => None,
        (user, password) => Some((decode(user), password.map(decode))),
    }
}
