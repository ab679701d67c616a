use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::future::Future;
use core::pin::Pin;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use reqwest::{Client, Response};

use crate::error::BoxError;
use crate::machine::{self, Failure};

/// A request about to be sent, for who gives its header fields.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Attempt {
    /// Which attempt it is, counted from 1. Redirects make none.
    pub number: u64,
    /// Where to.
    pub url: String,
    /// The status by which the last attempt was refused, if it was.
    pub last_status: Option<u16>,
}

type Future_<T> = Pin<Box<dyn Future<Output = T> + Send>>;

#[derive(Clone)]
pub(crate) struct HeadersOf(pub(crate) Arc<dyn Fn(Attempt) -> Future_<Result<HeaderMap, BoxError>> + Send + Sync>);

impl fmt::Debug for HeadersOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeadersOf").finish_non_exhaustive()
    }
}

/// What the application has in its requests.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parts {
    pub(crate) headers: HeaderMap,
    pub(crate) headers_of: Option<HeadersOf>,
    pub(crate) body: Option<Bytes>,
}

/// A request on its way.
pub(crate) type Sending = Future_<Result<Response, (Failure, BoxError)>>;

impl Parts {
    /// Sends what the machine asks for.
    pub(crate) fn send(&self, client: &Client, request: &machine::Request<'_>, last_status: Option<u16>) -> Sending {
        let (client, is_cross_origin) = (client.clone(), request.is_cross_origin);
        let attempt = Attempt { number: request.attempt, url: request.url.into(), last_status };
        let mut required = HeaderMap::new();
        for (name, value) in request.headers() {
            // Always: the machine has seen to it.
            if let Ok(value) = HeaderValue::from_bytes(value) {
                required.insert(HeaderName::from_static(name), value);
            }
        }
        let method = Method::from_bytes(request.method.as_bytes());
        let body = self.body.clone().filter(|_| request.has_body);
        let (mut headers, headers_of) = (self.headers.clone(), self.headers_of.clone());
        if body.is_none() {
            // A redirect has made it another request.
            headers.remove(header::CONTENT_TYPE);
        }
        Box::pin(async move {
            let url = attempt.url.clone();
            if let Some(HeadersOf(of)) = headers_of {
                let own = of(attempt).await.map_err(|error| (Failure::Headers, error))?;
                // All values of a name in the place of those that there are.
                headers.extend(own);
            }
            if is_cross_origin {
                retain(&mut headers, is_harmless);
            }
            for (name, value) in required {
                let Some(name) = name else { continue };
                if name == LAST_EVENT_ID || !headers.contains_key(&name) {
                    headers.insert(name, value);
                }
            }
            let method = method.map_err(|error| (Failure::Request, error.into()))?;
            let mut request = client.request(method, url).headers(headers);
            if let Some(body) = body {
                request = request.body(body);
            }
            // A URL may have secrets in it, and errors go to logs.
            request.send().await.map_err(|error| {
                let failure = if error.is_builder() { Failure::Request } else { Failure::NoResponse };
                (failure, error.without_url().into())
            })
        })
    }
}

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// It says nothing that is meant for one origin only.
fn is_harmless(name: &HeaderName) -> bool {
    use header::{ACCEPT, ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_TYPE, USER_AGENT};
    [ACCEPT, ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_TYPE, USER_AGENT].contains(name)
}

/// Keeps those with such names.
fn retain(headers: &mut HeaderMap, is_kept: impl Fn(&HeaderName) -> bool) {
    let names: Vec<_> = headers.keys().filter(|name| !is_kept(name)).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}
