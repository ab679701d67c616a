//! The output of events on a terminal.

use std::env;
use std::io::{self, Write};

use serde_json::value::RawValue;
use ssekit::MessageEvent;

use crate::escape::escape;

/// The deepest level that is indented, so that the output is not much longer than the data.
const MAX_INDENT: usize = 16;

/// The data of an event, in the form in which it is shown.
#[derive(Clone, Copy)]
pub(crate) enum Data<'a> {
    Text(&'a str),
    Json(&'a RawValue),
}

#[derive(Clone, Copy)]
pub(crate) struct Terminal {
    pub(crate) has_colours: bool,
}

#[derive(Clone, Copy)]
enum Colour {
    Type,
    Dim,
    Key,
    String,
    /// A number, for example.
    Literal,
    None,
}

impl Colour {
    fn code(self) -> &'static str {
        match self {
            Self::Type => "1;36",
            Self::Dim => "2",
            Self::Key => "34",
            Self::String => "32",
            Self::Literal => "33",
            Self::None => "",
        }
    }
}

impl Terminal {
    /// Uses colours unless `NO_COLOR` is set (<https://no-color.org>) or the terminal has none.
    pub(crate) fn from_env() -> Self {
        let is_set = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { has_colours: !is_set && env::var_os("TERM").is_none_or(|term| term != "dumb") }
    }

    /// Writes `type [id] data`. Data of several lines is below that, indented.
    pub(crate) fn event(self, out: &mut impl Write, event: MessageEvent<'_>, data: Data<'_>) -> io::Result<()> {
        self.put(out, Colour::Type, event.event_type)?;
        if !event.last_event_id.is_empty() {
            out.write_all(b" ")?;
            self.put(out, Colour::Dim, &format!("[{}]", event.last_event_id))?;
        }
        match data {
            Data::Text(text) if text.contains('\n') => {
                for line in text.split('\n') {
                    out.write_all(b"\n  ")?;
                    self.put(out, Colour::None, line)?;
                }
            }
            Data::Text("") => {}
            Data::Text(text) => {
                out.write_all(b" ")?;
                self.put(out, Colour::None, text)?;
            }
            Data::Json(value) => {
                out.write_all(if has_members(value.get()) { b"\n  " } else { b" " })?;
                self.json(out, value)?;
            }
        }
        out.write_all(b"\n")
    }

    /// `: comment`
    pub(crate) fn comment(self, out: &mut impl Write, comment: &str) -> io::Result<()> {
        self.put(out, Colour::Dim, &format!(":{comment}"))?;
        out.write_all(b"\n")
    }

    fn put(self, out: &mut impl Write, colour: Colour, text: &str) -> io::Result<()> {
        match colour.code() {
            code if self.has_colours && !code.is_empty() => write!(out, "\x1b[{code}m{}\x1b[0m", escape(text)),
            _ => write!(out, "{}", escape(text)),
        }
    }

    /// Numbers, the order of names, and escapes are left as they are.
    fn json(self, out: &mut impl Write, value: &RawValue) -> io::Result<()> {
        let mut depth: usize = 0;
        let mut is_line_due = false;
        let mut rest = value.get();
        while let Some(byte) = rest.bytes().next() {
            let (token, behind) = rest.split_at(token_len(rest));
            rest = behind.trim_start();
            let is_close = matches!(byte, b'}' | b']');
            // An object or array that ends while a line is due has no members.
            if is_line_due != is_close && depth <= MAX_INDENT {
                write!(out, "\n{:1$}", "", 2 + 2 * (depth - usize::from(is_close)))?;
            }
            is_line_due = matches!(byte, b'{' | b'[' | b',');
            match byte {
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            match byte {
                b':' => out.write_all(b": ")?,
                b'"' if rest.starts_with(':') => self.put(out, Colour::Key, token)?,
                b'"' => self.put(out, Colour::String, token)?,
                b'{' | b'}' | b'[' | b']' | b',' => self.put(out, Colour::None, token)?,
                _ => self.put(out, Colour::Literal, token)?,
            }
        }
        Ok(())
    }
}

/// Whether the value is an object or array with members.
fn has_members(json: &str) -> bool {
    json.strip_prefix(['{', '[']).is_some_and(|rest| !rest.trim_start().starts_with(['}', ']']))
}

/// Returns the length of the first token.
fn token_len(json: &str) -> usize {
    match json.as_bytes().first() {
        Some(b'"') => {
            let mut is_escaped = false;
            let end = json.bytes().skip(1).position(|byte| {
                let is_end = byte == b'"' && !is_escaped;
                is_escaped = byte == b'\\' && !is_escaped;
                is_end
            });
            end.map_or(json.len(), |end| end + 2)
        }
        Some(b'{' | b'}' | b'[' | b']' | b',' | b':') => 1,
        _ => json.find(|c: char| "{}[],:\" \n\t\r".contains(c)).unwrap_or(json.len()),
    }
}
