//! One connection: its commands and their timeouts.

use std::future::Future;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, ErrorKind, Pipeline, RedisError, Value, cmd};
use ssekit_server::hub::Position;

use crate::entry::{self, Entry};
use crate::error::RedisConnectError;
use crate::source::RedisSource;

/// Timeouts are applied here and not by the library, because a blocking read waits longer than other commands.
#[derive(Clone)]
pub(crate) struct Connection {
    inner: MultiplexedConnection,
    timeout: Duration,
}

/// The first entry and the last ID of the stream.
pub(crate) struct Stream {
    /// The last ID that the stream has assigned.
    pub(crate) last: Position,
    /// The oldest entry of the stream.
    pub(crate) first: Option<Entry>,
}

impl Connection {
    pub(crate) async fn open(source: &RedisSource, timeout: Duration) -> Result<Self, RedisConnectError> {
        let config = AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(Some(timeout));
        let open = async {
            let client = source.find().await?;
            #[cfg(feature = "tls")]
            if matches!(client.get_connection_info().addr(), redis::ConnectionAddr::TcpTls { .. })
                && rustls::crypto::CryptoProvider::get_default().is_none()
            {
                // An error means that another thread has installed a provider first.
                let _ = rustls::crypto::ring::default_provider().install_default();
            }
            Ok(client.get_multiplexed_async_connection_with_config(&config).await?)
        };
        Ok(Self { inner: within(timeout, open).await?, timeout })
    }

    pub(crate) async fn ask(&mut self, command: &Cmd) -> Result<Value, RedisConnectError> {
        self.ask_for(command, Duration::ZERO).await
    }

    /// Sends a command whose answer may take longer than the timeout, by `longer`.
    pub(crate) async fn ask_for(&mut self, command: &Cmd, longer: Duration) -> Result<Value, RedisConnectError> {
        let timeout = self.timeout.saturating_add(longer);
        // `query_async` would copy the whole answer to search it for errors.
        match within(timeout, async { Ok(self.inner.send_packed_command(command).await?) }).await? {
            Value::ServerError(error) => Err(RedisError::from(error).into()),
            answer => Ok(answer),
        }
    }

    /// Sends all commands at once. Each of the answers may be an error.
    pub(crate) async fn ask_all(&mut self, commands: &Pipeline) -> Result<Vec<Value>, RedisConnectError> {
        let answers = async { Ok(self.inner.send_packed_commands(commands, 0, commands.len()).await?) };
        within(self.timeout, answers).await
    }

    /// Returns the last entries before an ID, the latest entry first.
    pub(crate) async fn before(&mut self, key: &str, end: &str, count: usize) -> Result<Vec<Entry>, RedisConnectError> {
        let mut command = cmd("XREVRANGE");
        command.arg(key).arg(end).arg("-").arg("COUNT").arg(count);
        entry::entries(self.ask(&command).await?)
    }

    /// Returns the first entries from a position on.
    pub(crate) async fn from(
        &mut self,
        key: &str,
        start: Position,
        count: usize,
    ) -> Result<Vec<Entry>, RedisConnectError> {
        let mut command = cmd("XRANGE");
        command.arg(key).arg(start.to_string()).arg("+").arg("COUNT").arg(count);
        entry::entries(self.ask(&command).await?)
    }

    /// Returns the first entry and the last ID of the stream, if it exists.
    pub(crate) async fn stream(&mut self, key: &str) -> Result<Option<Stream>, RedisConnectError> {
        let answer = self.ask(cmd("XINFO").arg("STREAM").arg(key)).await;
        let told = match answer {
            Ok(told) => told,
            Err(RedisConnectError::Redis(error)) if is_no_such_key(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let last = entry::look_up(&told, "last-generated-id").as_ref().and_then(entry::position);
        let last = last.ok_or(RedisConnectError::Unexpected("last-generated-id"))?;
        Ok(Some(Stream { last, first: entry::look_up(&told, "first-entry").and_then(entry::entry) }))
    }

    /// Returns the lines of a section of `INFO`.
    pub(crate) async fn info(&mut self, section: &str) -> Result<String, RedisConnectError> {
        match self.ask(cmd("INFO").arg(section)).await? {
            Value::BulkString(text) => Ok(String::from_utf8_lossy(&text).into_owned()),
            Value::VerbatimString { text, .. } | Value::SimpleString(text) => Ok(text),
            _ => Err(RedisConnectError::Unexpected("INFO")),
        }
    }
}

async fn within<T>(
    timeout: Duration,
    what: impl Future<Output = Result<T, RedisConnectError>>,
) -> Result<T, RedisConnectError> {
    tokio::time::timeout(timeout, what).await.unwrap_or(Err(RedisConnectError::Timeout))
}

fn is_no_such_key(error: &RedisError) -> bool {
    error.detail().is_some_and(|detail| detail.contains("no such key"))
}

impl RedisConnectError {
    /// Returns whether the server has answered, if only with an error. The connection can then be used again.
    pub(crate) fn is_of_server(&self) -> bool {
        match self {
            Self::Redis(error) => {
                matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension) && !is_passing(error.code())
            }
            Self::Timeout => false,
            _ => true,
        }
    }
}

/// Returns whether a server's error is temporary, or specific to this server. Another connection may then work.
pub(crate) fn is_passing(code: Option<&str>) -> bool {
    let passing = ["READONLY", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "MOVED", "ASK", "TRYAGAIN", "BUSY", "UNBLOCKED"];
    code.is_some_and(|code| passing.contains(&code))
}
