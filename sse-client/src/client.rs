use core::time::Duration;

use reqwest::ClientBuilder;
use reqwest::redirect::Policy;

/// A builder of a client of reqwest as an [`EventSource`](crate::EventSource) wants it, for one with settings of your own:
/// certificates, a proxy, a name to be called by.
///
/// It follows no redirects and tries nothing again, since the event source does that itself. A server is connected to
/// within 10 seconds, and a connection that the network has lost is found within half a minute, though nothing is sent by
/// it: by TCP's keep-alive, and by HTTP/2's. Proxies are those of the environment: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`,
/// `NO_PROXY`.
///
/// Secrets are better given to [`with_header`](crate::EventSourceBuilder::with_header): reqwest sends the default header
/// fields of a client with each request, to wherever a redirect has led.
///
/// With the feature `tls`, unless the program has chosen a provider for rustls, it is ring from then on.
pub fn client_builder() -> ClientBuilder {
    #[cfg(feature = "tls")]
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Somebody else may have been faster.
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
