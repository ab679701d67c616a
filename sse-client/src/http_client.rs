//! The HTTP client of an event source.

use core::time::Duration;

use reqwest::ClientBuilder;
use reqwest::redirect::Policy;

/// Returns a builder for a reqwest client with the settings that an [`EventSource`](crate::EventSource) needs.
///
/// Use it to add settings of your own, such as certificates, a proxy or a user agent. Its settings are:
///
/// - no redirects and no retries, since the event source makes both itself;
/// - 10 seconds to connect;
/// - keep-alive by TCP and HTTP/2, which finds a lost connection within 30 seconds, even if nothing is sent;
/// - proxies from the environment: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`.
///
/// Give secrets to [`with_header`](crate::EventSourceBuilder::with_header), and not to the client: reqwest sends the default
/// header fields of a client to every server that a redirect leads to.
///
/// With the feature `tls`, this makes ring the process-wide provider of rustls, unless the program has installed another.
pub fn client_builder() -> ClientBuilder {
    #[cfg(feature = "tls")]
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // An error means that another thread has installed one meanwhile.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    let builder = reqwest::Client::builder()
        .user_agent(concat!("ssekit-client/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .retry(reqwest::retry::never())
        .connect_timeout(Duration::from_secs(10))
        .tcp_keepalive(Duration::from_secs(16))
        .tcp_keepalive_interval(Duration::from_secs(2))
        .tcp_keepalive_retries(4);
    #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
    let builder = builder.tcp_user_timeout(Duration::from_secs(20));
    #[cfg(feature = "http2")]
    let builder =
        builder.http2_keep_alive_interval(Duration::from_secs(16)).http2_keep_alive_timeout(Duration::from_secs(10));
    builder
}
