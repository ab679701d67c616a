//! The adapters' own types, stamped out once for all of them, so that they cannot drift apart.

/// Makes a newtype of [`EventBody`](crate::EventBody) with all of its methods, for an adapter to implement its
/// framework's response for. Not for use elsewhere.
#[doc(hidden)]
#[macro_export]
macro_rules! __response_type {
    ($(#[$attribute:meta])* $name:ident) => {
        $(#[$attribute])*
        #[must_use = "a response does nothing unless it is returned"]
        pub struct $name<S: $crate::__private::Stream>($crate::EventBody<S>)
        where
            S::Item: $crate::IntoEvent;

        impl<S: $crate::__private::Stream> $name<S>
        where
            S::Item: $crate::IntoEvent,
        {
            /// A response with the events of `stream`.
            pub fn new(stream: S) -> Self {
                Self($crate::EventBody::new(stream))
            }

            /// The same response with this keep-alive; see [`EventBody::with_keep_alive`].
            pub fn with_keep_alive(self, keep_alive: $crate::KeepAlive) -> Self {
                Self(self.0.with_keep_alive(keep_alive))
            }

            /// The same response with no keep-alive; see [`EventBody::without_keep_alive`].
            pub fn without_keep_alive(self) -> Self {
                Self(self.0.without_keep_alive())
            }

            /// The same response, with how long a client waits before it reconnects; see
            /// [`EventBody::with_reconnection_time`].
            #[doc(alias = "retry")]
            pub fn with_reconnection_time(self, time: ::std::time::Duration) -> Self {
                Self(self.0.with_reconnection_time(time))
            }

            /// The same response in chunks of at most so many bytes; see [`EventBody::with_max_chunk`].
            pub fn with_max_chunk(self, bytes: usize) -> Self {
                Self(self.0.with_max_chunk(bytes))
            }

            /// The same response, which ends after `max`, or up to `jitter` earlier; see
            /// [`EventBody::with_max_lifetime`].
            pub fn with_max_lifetime(self, max: ::std::time::Duration, jitter: ::std::time::Duration) -> Self {
                Self(self.0.with_max_lifetime(max, jitter))
            }

            /// The same response, which ends when there was no event for so long; see
            /// [`EventBody::with_idle_timeout`].
            pub fn with_idle_timeout(self, timeout: ::std::time::Duration) -> Self {
                Self(self.0.with_idle_timeout(timeout))
            }

            /// The same response, which ends when the client reads nothing for so long; see
            /// [`EventBody::with_stall_timeout`].
            pub fn with_stall_timeout(self, timeout: ::std::time::Duration) -> Self {
                Self(self.0.with_stall_timeout(timeout))
            }

            /// The same response, whose client may take as long as it likes; see
            /// [`EventBody::without_stall_timeout`].
            pub fn without_stall_timeout(self) -> Self {
                Self(self.0.without_stall_timeout())
            }

            /// The same response, and what its client is to do after the end; see [`EventBody::with_after_end`].
            pub fn with_after_end(self, after_end: $crate::AfterEnd) -> Self {
                Self(self.0.with_after_end(after_end))
            }

            /// The same response as one of `streams`, to be drained with them; see [`EventBody::with_group`].
            pub fn with_group(self, streams: &$crate::StreamGroup) -> Self {
                Self(self.0.with_group(streams))
            }

            /// The same response, and what becomes of it in a drain; see [`EventBody::with_drain_policy`].
            pub fn with_drain_policy(self, policy: $crate::DrainPolicy) -> Self {
                Self(self.0.with_drain_policy(policy))
            }

            /// The same response, with `callback` to be called when it is over; see [`EventBody::on_close`].
            pub fn on_close(self, callback: impl FnOnce($crate::CloseReason) + Send + 'static) -> Self {
                Self(self.0.on_close(callback))
            }

            /// A handle to end the stream from elsewhere; see [`EventBody::handle`].
            pub fn handle(&self) -> $crate::StreamHandle {
                self.0.handle()
            }
        }

        impl $name<$crate::Receiver> {
            /// A response, and a [`Sender`](ssekit_server::Sender) for its events; see [`EventBody::channel`].
            pub fn channel(capacity: usize) -> ($crate::Sender, Self) {
                let (sender, body) = $crate::EventBody::channel(capacity);
                (sender, Self(body))
            }
        }

        impl<F: ::std::future::Future> $name<$crate::FromFn<F>>
        where
            F::Output: $crate::Outcome,
        {
            /// A response that `callback` writes; see [`EventBody::from_fn`].
            pub fn from_fn(callback: impl FnOnce($crate::Sender) -> F) -> Self {
                Self($crate::EventBody::from_fn(callback))
            }
        }

        impl<S: $crate::__private::Stream> From<$crate::EventBody<S>> for $name<S>
        where
            S::Item: $crate::IntoEvent,
        {
            fn from(body: $crate::EventBody<S>) -> Self {
                Self(body)
            }
        }

        impl<S: $crate::__private::Stream> ::std::fmt::Debug for $name<S>
        where
            S::Item: $crate::IntoEvent,
        {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.debug_tuple(stringify!($name)).field(&self.0).finish()
            }
        }
    };
}

/// Makes the types of an adapter's extractors, for it to implement its framework's traits for. Not for use elsewhere.
#[doc(hidden)]
#[macro_export]
macro_rules! __extractor_types {
    () => {
        /// Where a client that reconnects has stopped, if it says so: an extractor.
        ///
        /// What it holds is the framework-free [`ssekit_server::LastEventId`]. It looks for the header
        /// field `Last-Event-ID`, then for the query parameters `last_event_id` and `lastEventId`. One that is malformed
        /// (see [`LastEventIdError`]) is answered by 400, and a client that has all there is (see [`AfterEnd::Stop`]) by
        /// 204, unless the handler takes a `Result<LastEventId, LastEventIdRejection>` and decides itself.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct LastEventId(pub Option<$crate::LastEventId>);

        impl LastEventId {
            fn from_fields(header: Option<&[u8]>, query: Option<&str>) -> Result<Self, LastEventIdRejection> {
                match $crate::LastEventId::from_request(header, query) {
                    Ok(Some(id)) if id.is_finished() => Err(LastEventIdRejection::Done),
                    Ok(id) => Ok(Self(id)),
                    Err(error) => Err(LastEventIdRejection::Malformed(error)),
                }
            }
        }

        /// Why a request does not get to its handler by [`LastEventId`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum LastEventIdRejection {
            /// It is malformed: 400, with the reason as text.
            Malformed($crate::LastEventIdError),
            /// The client has all there is: 204, after which an EventSource does not reconnect.
            Done,
        }

        impl ::std::fmt::Display for LastEventIdRejection {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                match self {
                    Self::Malformed(error) => error.fmt(f),
                    Self::Done => f.write_str("the client has all there is"),
                }
            }
        }

        impl ::std::error::Error for LastEventIdRejection {}

        /// Whether the request asks for an event stream in `Accept`: an extractor, for a handler that can answer
        /// otherwise too. See [`wants_event_stream`](ssekit_server::wants_event_stream).
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct WantsEventStream(pub bool);
    };
}

/// Makes what an adapter has for a hub, for it to implement its framework's traits for. Not for use elsewhere.
#[cfg(feature = "hub")]
#[doc(hidden)]
#[macro_export]
macro_rules! __hub_types {
    ($name:ident) => {
        impl From<$crate::hub::Subscription> for $name<$crate::hub::Subscription> {
            fn from(subscription: $crate::hub::Subscription) -> Self {
                Self(subscription.into_body())
            }
        }

        /// The response to a subscriber that a [`Hub`](ssekit_server::hub::Hub) has not taken.
        ///
        /// A client that asks for an event stream, and may come back, gets one with 200, which says when to, and ends: an
        /// EventSource would give up for good at another status. Others get that
        /// [status](ssekit_server::hub::Rejection::status), with `Retry-After`, and the reason as text.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct SseRejection {
            rejection: $crate::hub::Rejection,
            wants_event_stream: bool,
        }

        impl SseRejection {
            /// For a request that wants that.
            pub fn new(rejection: $crate::hub::Rejection, wants: WantsEventStream) -> Self {
                Self { rejection, wants_event_stream: wants.0 }
            }

            /// What is told.
            pub fn rejection(&self) -> $crate::hub::Rejection {
                self.rejection
            }

            fn is_soft(&self) -> bool {
                self.wants_event_stream && self.rejection.is_temporary()
            }

            /// In whole seconds, for `Retry-After`.
            fn retry_after(&self) -> Option<u64> {
                let retry = self.rejection.retry();
                self.rejection.is_temporary().then(|| retry.as_secs() + u64::from(retry.subsec_nanos() > 0))
            }
        }

        impl ::std::fmt::Display for SseRejection {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                self.rejection.fmt(f)
            }
        }

        impl ::std::error::Error for SseRejection {}
    };
}
