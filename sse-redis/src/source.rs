use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use redis::{Client, RedisResult};

type Find = dyn Fn() -> Pin<Box<dyn Future<Output = RedisResult<Client>> + Send>> + Send + Sync;

/// Where Redis is: always the same, or asked for before each connection.
#[derive(Clone)]
pub struct RedisSource(Arc<Find>);

impl RedisSource {
    /// Asks for it before each connection: of a Sentinel, of the DNS, of a cluster's table.
    ///
    /// ```
    /// use redis::Client;
    /// use ssekit_redis::RedisSource;
    ///
    /// // A Sentinel knows who is the master by now.
    /// let source = RedisSource::from_fn(|| async {
    ///     let mut sentinel = Client::open("redis://127.0.0.1:26379")?.get_multiplexed_async_connection().await?;
    ///     let mut command = redis::cmd("SENTINEL");
    ///     command.arg("get-master-addr-by-name").arg("mymaster");
    ///     let (host, port): (String, u16) = command.query_async(&mut sentinel).await?;
    ///     Client::open((host, port))
    /// });
    /// # let _ = source;
    /// ```
    pub fn from_fn<F>(find: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = RedisResult<Client>> + Send + 'static,
    {
        Self(Arc::new(move || Box::pin(find())))
    }

    pub(crate) async fn find(&self) -> RedisResult<Client> {
        (self.0)().await
    }
}

impl From<Client> for RedisSource {
    fn from(client: Client) -> Self {
        Self::from_fn(move || std::future::ready(Ok(client.clone())))
    }
}

impl fmt::Debug for RedisSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisSource").finish_non_exhaustive()
    }
}
