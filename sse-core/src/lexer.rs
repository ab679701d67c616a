//! The tokens of an event stream, with no buffer at all.

use memchr::memchr2;

/// UTF-8's byte order mark.
const BOM: &[u8] = b"\xEF\xBB\xBF";

/// What a line of an event stream is.
///
/// A field is one of the four that the standard names, compared byte by byte; any other is [`Line::Unknown`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Line {
    /// The field `data`: a line of the event's data.
    Data,
    /// The field `event`: the event type.
    Event,
    /// The field `id`: the last event ID.
    Id,
    /// The field `retry`: the reconnection time.
    Retry,
    /// A line that starts with a colon.
    Comment,
    /// Any other line. The standard has a decoder ignore it.
    Unknown,
}

impl Line {
    /// The field name as it stands on the wire, empty for a comment and an unknown line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Event => "event",
            Self::Id => "id",
            Self::Retry => "retry",
            Self::Comment | Self::Unknown => "",
        }
    }
}

/// What [`Lexer::next_token`] finds in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Token<'c> {
    /// A line's value or a piece of it.
    Fragment(Fragment<'c>),
    /// A blank line: the standard's "dispatch the event".
    Dispatch,
}

/// A line's value, or the piece of it that lies in one chunk.
///
/// The value is what stands after the colon and one optional space; of a comment, all that stands after the colon; of
/// an unknown line, the whole line. The bytes are as they came: not checked to be UTF-8, and a NUL in an `id` is still
/// there.
///
/// Every line has exactly one fragment that [`is_first`](Self::is_first) and one that [`is_last`](Self::is_last),
/// often the same one; a fragment in between is never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fragment<'c> {
    /// What the line is.
    pub line: Line,
    /// The bytes of this piece.
    pub bytes: &'c [u8],
    /// Whether the value starts with this piece.
    pub is_first: bool,
    /// Whether the value, and its line, ends with this piece.
    pub is_last: bool,
}

/// Cuts an event stream into [`Token`]s, in chunks of any size, and copies nothing.
///
/// It is the layer under the [`BufferedDecoder`](crate::BufferedDecoder), for values that are larger than memory, for
/// proxies that look at a stream while they pass its bytes on, and for whoever needs the comments. Its whole state is
/// four bytes at the most.
///
/// Source: WHATWG HTML, section 9.2.6, "Interpreting an event stream". Each byte is searched for a line end once, so the
/// time is linear in the input however it is cut; joined, the fragments of a line do not depend on the cuts.
///
/// ```
/// use ssekit_core::{Lexer, Line, Token};
///
/// let mut lexer = Lexer::new();
/// let mut seen = Vec::new();
/// for mut chunk in [&b": hi\nda"[..], b"ta: 4", b"2\n\n"] {
///     while let Some(token) = lexer.next_token(&mut chunk) {
///         match token {
///             Token::Fragment(f) => seen.push((f.line, f.bytes, f.is_last)),
///             _ => seen.push((Line::Unknown, b"dispatch", true)),
///         }
///     }
/// }
/// assert_eq!(
///     seen,
///     [
///         (Line::Comment, &b" hi"[..], true),
///         (Line::Data, b"4", false),
///         (Line::Data, b"2", true),
///         (Line::Unknown, b"dispatch", true),
///     ]
/// );
/// ```
#[derive(Clone, Debug)]
pub struct Lexer {
    state: State,
    /// The last byte was a CR, which has ended its line already: an LF right after it belongs to it.
    swallow_lf: bool,
}

/// Where in the stream the next byte stands.
#[derive(Clone, Copy, Debug)]
enum State {
    /// At the very start, behind so many bytes of a byte order mark.
    Start(u8),
    /// At the start of a line.
    LineStart,
    /// Behind so many bytes of this field's name, which may still turn out to be another's.
    Name(Line, u8),
    /// Behind the colon, where one space may stand that is not part of the value.
    Colon(Line),
    /// In the value, with no fragment handed out so far.
    ValueStart(Line),
    /// In the value, behind a fragment.
    Value(Line),
}

impl Default for Lexer {
    fn default() -> Self {
        Self::new()
    }
}

impl Lexer {
    /// A lexer at the start of a stream.
    pub const fn new() -> Self {
        Self { state: State::Start(0), swallow_lf: false }
    }

    /// The next token in `chunk`, which is moved past it; `None` when the chunk is used up and another is needed.
    ///
    /// An unfinished line or event at the end of the stream yields no further token, and the standard has it discarded.
    #[inline]
    #[must_use = "a token is handed out once"]
    pub fn next_token<'c>(&mut self, chunk: &mut &'c [u8]) -> Option<Token<'c>> {
        loop {
            let (&byte, tail) = chunk.split_first()?;
            if self.swallow_lf {
                self.swallow_lf = false;
                if byte == b'\n' {
                    *chunk = tail;
                    continue;
                }
            }
            let token = match self.state {
                State::LineStart => match byte {
                    b'\n' | b'\r' => {
                        self.swallow_lf = byte == b'\r';
                        *chunk = tail;
                        Some(Token::Dispatch)
                    }
                    b'd' => self.field(Line::Data, b"data:", chunk),
                    b'e' => self.field(Line::Event, b"event:", chunk),
                    b'i' => self.field(Line::Id, b"id:", chunk),
                    b'r' => self.field(Line::Retry, b"retry:", chunk),
                    b':' => {
                        *chunk = tail;
                        self.state = State::ValueStart(Line::Comment);
                        None
                    }
                    _ => {
                        self.state = State::ValueStart(Line::Unknown);
                        None
                    }
                },
                State::Name(line, seen) => self.name(line, seen, chunk),
                State::Colon(line) => {
                    // "If value starts with a U+0020 SPACE character, remove it from value."
                    if byte == b' ' {
                        *chunk = tail;
                    }
                    self.state = State::ValueStart(line);
                    None
                }
                State::ValueStart(line) => Some(self.value(line, true, chunk)),
                State::Value(line) => Some(self.value(line, false, chunk)),
                State::Start(seen) => self.start(seen, chunk),
            };
            if token.is_some() {
                return token;
            }
        }
    }

    /// A line that seems to be this field. Where name and colon lie in the chunk, which is nearly always, it needs no
    /// detour by way of the states.
    #[inline]
    fn field<'c, const N: usize>(&mut self, line: Line, name: &[u8; N], chunk: &mut &'c [u8]) -> Option<Token<'c>> {
        let Some(value) = chunk.strip_prefix(name) else {
            self.state = State::Name(line, 0);
            return None;
        };
        *chunk = value;
        match value.split_first() {
            Some((b' ', [])) => {
                *chunk = &[];
                self.state = State::ValueStart(line);
                None
            }
            Some((b' ', tail)) => {
                *chunk = tail;
                Some(self.value(line, true, chunk))
            }
            Some(_) => Some(self.value(line, true, chunk)),
            None => {
                self.state = State::Colon(line);
                None
            }
        }
    }

    /// The rest of a field name of which `seen` bytes are behind us. `chunk` is not empty.
    #[inline]
    fn name<'c>(&mut self, line: Line, seen: u8, chunk: &mut &'c [u8]) -> Option<Token<'c>> {
        let (done, rest) = line.name().as_bytes().split_at_checked(usize::from(seen))?;
        if let Some(after) = chunk.strip_prefix(rest) {
            match after.first() {
                Some(b':') => {
                    *chunk = &after[1..];
                    self.state = State::Colon(line);
                }
                // "Process the field using the whole line as the field name, and the empty string as the value."
                Some(b'\n' | b'\r') => {
                    *chunk = after;
                    self.state = State::ValueStart(line);
                }
                Some(_) => return self.not_a_name(done),
                None => {
                    *chunk = after;
                    self.state = State::Name(line, line.name().len() as u8);
                }
            }
            None
        } else if rest.starts_with(chunk) {
            self.state = State::Name(line, seen + chunk.len() as u8);
            *chunk = &[];
            None
        } else {
            self.not_a_name(done)
        }
    }

    /// What seemed to be a field name is an unknown line. What stood of it in earlier chunks is known by heart.
    #[cold]
    fn not_a_name(&mut self, seen: &'static [u8]) -> Option<Token<'static>> {
        if seen.is_empty() {
            self.state = State::ValueStart(Line::Unknown);
            return None;
        }
        self.state = State::Value(Line::Unknown);
        let line = Line::Unknown;
        Some(Token::Fragment(Fragment { line, bytes: seen, is_first: true, is_last: false }))
    }

    /// A value up to its line end or the chunk's. `chunk` is not empty.
    #[inline]
    fn value<'c>(&mut self, line: Line, is_first: bool, chunk: &mut &'c [u8]) -> Token<'c> {
        let bytes = *chunk;
        match memchr2(b'\n', b'\r', bytes) {
            Some(end) => {
                self.swallow_lf = bytes[end] == b'\r';
                *chunk = &bytes[end + 1..];
                self.state = State::LineStart;
                Token::Fragment(Fragment { line, bytes: &bytes[..end], is_first, is_last: true })
            }
            None => {
                *chunk = &[];
                self.state = State::Value(line);
                Token::Fragment(Fragment { line, bytes, is_first, is_last: false })
            }
        }
    }

    /// The start of the stream: "one leading U+FEFF BYTE ORDER MARK character must be ignored if any are present".
    #[cold]
    fn start<'c>(&mut self, seen: u8, chunk: &mut &'c [u8]) -> Option<Token<'c>> {
        let (done, rest) = BOM.split_at_checked(usize::from(seen))?;
        if let Some(after) = chunk.strip_prefix(rest) {
            *chunk = after;
            self.state = State::LineStart;
            None
        } else if rest.starts_with(chunk) {
            self.state = State::Start(seen + chunk.len() as u8);
            *chunk = &[];
            None
        } else if seen == 0 {
            self.state = State::LineStart;
            None
        } else {
            self.not_a_name(done)
        }
    }
}
