//! The protocol of Redis, RESP2, as far as tests need it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// What a server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A word, `OK` say.
    Simple(String),
    /// An error: its code and what it says.
    Error(String),
    /// A number.
    Int(i64),
    /// Bytes, or none.
    Bulk(Option<Vec<u8>>),
    /// Answers, or none.
    Array(Option<Vec<Reply>>),
}

impl Reply {
    /// `OK`.
    pub fn ok() -> Self {
        Self::Simple("OK".to_owned())
    }

    /// These bytes.
    pub fn bulk(bytes: impl AsRef<[u8]>) -> Self {
        Self::Bulk(Some(bytes.as_ref().to_owned()))
    }
}

/// A connection on which each command waits for its answer.
#[derive(Debug)]
pub struct RespClient {
    stream: BufReader<TcpStream>,
}

impl RespClient {
    /// Connects, with a limit to that and to how long an answer may keep silent.
    pub fn connect(addr: SocketAddr, limit: Duration) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&addr, limit)?;
        stream.set_nodelay(true)?;
        let client = Self { stream: BufReader::new(stream) };
        client.set_limit(limit)?;
        Ok(client)
    }

    /// Changes how long an answer may keep silent. Past that it is an error of the kind `WouldBlock` or `TimedOut`, and
    /// what has come of the answer is lost if it has begun.
    pub fn set_limit(&self, limit: Duration) -> io::Result<()> {
        self.stream.get_ref().set_read_timeout(Some(limit))?;
        self.stream.get_ref().set_write_timeout(Some(limit))
    }

    /// Sends a command, and reads its answer.
    pub fn command(&mut self, command: &[&[u8]]) -> io::Result<Reply> {
        self.send(command)?;
        self.receive()
    }

    /// Sends a command.
    pub fn send(&mut self, command: &[&[u8]]) -> io::Result<()> {
        let mut bytes = format!("*{}\r\n", command.len()).into_bytes();
        for argument in command {
            bytes.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
            bytes.extend_from_slice(argument);
            bytes.extend_from_slice(b"\r\n");
        }
        self.stream.get_mut().write_all(&bytes)
    }

    /// Reads an answer.
    pub fn receive(&mut self) -> io::Result<Reply> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        if line.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let wrong = || io::Error::new(io::ErrorKind::InvalidData, format!("an answer of {line:?}"));
        let (kind, rest) = line.split_at_checked(1).ok_or_else(wrong)?;
        let rest = rest.strip_suffix("\r\n").ok_or_else(wrong)?;
        let number = || rest.parse::<i64>().map_err(|_| wrong());
        Ok(match kind {
            "+" => Reply::Simple(rest.to_owned()),
            "-" => Reply::Error(rest.to_owned()),
            ":" => Reply::Int(number()?),
            "$" => Reply::Bulk(u64::try_from(number()?).ok().map(|len| self.bytes(len)).transpose()?),
            "*" => {
                let len = u64::try_from(number()?).ok();
                Reply::Array(len.map(|len| (0..len).map(|_| self.receive()).collect()).transpose()?)
            }
            _ => return Err(wrong()),
        })
    }

    /// So many bytes, and the end of the line.
    fn bytes(&mut self, len: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.stream.by_ref().take(len + 2).read_to_end(&mut bytes)?;
        match bytes.strip_suffix(b"\r\n") {
            Some(value) if value.len() as u64 == len => Ok(value.to_owned()),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}
