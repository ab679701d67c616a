//! The types that every adapter has, stamped out once so that the adapters cannot drift apart.
//!
//! An adapter needs newtypes, because only the crate of a type may implement a framework's trait for it. These macros make
//! the newtypes; the adapter writes only the impls of its framework's traits. Nothing else uses the macros.

/// Adds the settings of [`EventBody`](crate::EventBody) to a type with a method `map_body`.
#[doc(hidden)]
#[macro_export]
macro_rules! __stream_settings {
    () => {
        $crate::__stream_settings! {
            "Sets the keep-alive (an empty comment every 15 seconds by default)."
            with_keep_alive(keep_alive: $crate::KeepAlive);
            "Sends no keep-alive."
            without_keep_alive();
            "Sends the time after which the client reconnects."
            with_reconnection_time(time: ::std::time::Duration);
            "Sets the most bytes of a chunk (16 KiB by default)."
            with_max_chunk(bytes: usize);
            "Ends the stream after `max`, or up to `jitter` earlier."
            with_max_lifetime(max: ::std::time::Duration, jitter: ::std::time::Duration);
            "Ends the stream when there was no event for this time."
            with_idle_timeout(timeout: ::std::time::Duration);
            "Ends the stream when the client reads nothing for this time (10 seconds by default)."
            with_stall_timeout(timeout: ::std::time::Duration);
            "Never ends the stream because the client reads nothing."
            without_stall_timeout();
            "Sets what the client does after the stream has ended by itself (it reconnects by default)."
            with_after_end(after_end: $crate::AfterEnd);
            "Puts the stream into a group, to be counted and drained with it."
            with_group(group: &$crate::StreamGroup);
            "Sets how a drain treats the stream."
            with_drain_policy(policy: $crate::DrainPolicy);
            "Calls `callback` once when the stream is over."
            on_close(callback: impl ::std::ops::FnOnce($crate::CloseReason) + ::std::marker::Send + 'static);
        }
    };
    ($($doc:literal $method:ident($($argument:ident: $type:ty),*);)*) => {
        $(
            #[doc = $doc]
            #[doc = ""]
            #[doc = concat!("See [`EventBody::", stringify!($method), "`](", "EventBody::", stringify!($method), ").")]
            pub fn $method(self, $($argument: $type),*) -> Self {
                self.map_body(|body| body.$method($($argument),*))
            }
        )*
    };
}

#[cfg(feature = "hub")]
pub(crate) use __stream_settings as stream_settings;

/// Makes the response type of an adapter, a newtype of [`EventBody`](crate::EventBody).
#[doc(hidden)]
#[macro_export]
macro_rules! __response_type {
    ($(#[$attribute:meta])* $name:ident) => {
        $(#[$attribute])*
        #[must_use = "a response does nothing unless it is returned"]
        pub struct $name<S>($crate::EventBody<S>);

        impl<S> $name<S> {
            /// Creates a response with the events of `stream`.
            pub fn new(stream: S) -> Self
            where
                S: ::futures_core::Stream<Item: $crate::IntoEvent>,
            {
                Self($crate::EventBody::new(stream))
            }

            fn map_body(self, change: impl ::std::ops::FnOnce($crate::EventBody<S>) -> $crate::EventBody<S>) -> Self {
                Self(change(self.0))
            }

            $crate::__stream_settings! {}

            /// Returns a handle that ends the stream from elsewhere.
            pub fn handle(&self) -> $crate::StreamHandle {
                self.0.handle()
            }
        }

        impl $name<$crate::Receiver> {
            /// Creates a response and the [`Sender`](ssekit_server::Sender) of its events; see [`EventBody::channel`].
            pub fn channel(capacity: usize) -> ($crate::Sender, Self) {
                let (sender, body) = $crate::EventBody::channel(capacity);
                (sender, Self(body))
            }
        }

        impl<F: ::std::future::Future<Output = ::std::result::Result<(), $crate::BoxError>>> $name<$crate::FromFn<F>> {
            /// Creates a response that an async function writes; see [`EventBody::from_fn`].
            pub fn from_fn(function: impl ::std::ops::FnOnce($crate::Sender) -> F) -> Self {
                Self($crate::EventBody::from_fn(function))
            }
        }

        impl<S> From<$crate::EventBody<S>> for $name<S> {
            fn from(body: $crate::EventBody<S>) -> Self {
                Self(body)
            }
        }

        impl<S> ::std::fmt::Debug for $name<S> {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.debug_tuple(stringify!($name)).field(&self.0).finish()
            }
        }
    };
}

/// Makes the extractor of an adapter and the rejection of the extractor, newtypes of this crate's types.
#[doc(hidden)]
#[macro_export]
macro_rules! __request_types {
    () => {
        /// What a request says about the event stream that it asks for: an extractor.
        ///
        /// It dereferences to [`ssekit_server::SseRequest`]. The extractor answers 400 to a malformed last event ID, and 204
        /// to the client of a finished stream. A handler that takes `Result<SseRequest, SseRequestRejection>` decides itself.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[expect(clippy::exhaustive_structs, reason = "handlers take it apart in a pattern")]
        pub struct SseRequest(pub $crate::SseRequest);

        impl ::std::ops::Deref for SseRequest {
            type Target = $crate::SseRequest;

            fn deref(&self) -> &Self::Target {
                &self.0
            }
        }

        impl ::std::convert::AsRef<$crate::SseRequest> for SseRequest {
            fn as_ref(&self) -> &$crate::SseRequest {
                &self.0
            }
        }

        /// The reason why [`SseRequest`] answers a request without its handler.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[expect(clippy::exhaustive_structs, reason = "handlers take it apart in a pattern")]
        pub struct SseRequestRejection(pub $crate::SseRequestRejection);

        impl ::std::fmt::Display for SseRequestRejection {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl ::std::error::Error for SseRequestRejection {}
    };
}

/// Makes the response of a hub of an adapter, a newtype of this crate's type.
#[cfg(feature = "hub")]
#[doc(hidden)]
#[macro_export]
macro_rules! __hub_types {
    ($response:ident) => {
        impl From<$crate::hub::Subscription> for $response<$crate::hub::Subscription> {
            fn from(subscription: $crate::hub::Subscription) -> Self {
                Self(subscription.into_body())
            }
        }

        /// The answer of a hub to a request: the event stream or a refusal.
        ///
        /// [`Hub::respond`](ssekit_server::hub::Hub::respond) returns it for this crate's [`SseRequest`].
        /// [`ssekit_server::hub::HubResponse`] says which requests get which answer. The `with_` methods change the settings
        /// of the stream, and do nothing to a refusal.
        #[derive(Debug)]
        #[must_use = "a response does nothing unless it is returned"]
        pub struct HubResponse($crate::hub::HubResponse);

        impl HubResponse {
            /// Changes the body of the stream. A refusal stays as it is.
            pub fn map_body(
                self,
                change: impl ::std::ops::FnOnce(
                    $crate::EventBody<$crate::hub::Subscription>,
                ) -> $crate::EventBody<$crate::hub::Subscription>,
            ) -> Self {
                Self(self.0.map_body(change))
            }

            $crate::__stream_settings! {}
        }

        impl ::std::ops::Deref for HubResponse {
            type Target = $crate::hub::HubResponse;

            fn deref(&self) -> &Self::Target {
                &self.0
            }
        }

        impl From<$crate::hub::HubResponse> for HubResponse {
            fn from(response: $crate::hub::HubResponse) -> Self {
                Self(response)
            }
        }

        impl $crate::hub::HubRequest for SseRequest {
            type Response = HubResponse;
        }
    };
}
