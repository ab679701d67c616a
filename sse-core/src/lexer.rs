//! The tokens of an event stream, with no buffer at all.

use crate::line_bytes::{LineBytes, behind_line_end};
use crate::scan::{Lines, plain_prefix};

/// UTF-8's byte order mark.
const BOM: &[u8] = b"\xEF\xBB\xBF";

/// What a line of an event stream is.
///
/// A field is one of the four that the standard names, compared byte by byte; any other is [`FieldName::Unknown`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FieldName {
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

impl FieldName {
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

    /// What a line is that is not blank, and its value.
    #[inline(always)]
    pub(crate) fn of(line: &str) -> (Self, &str) {
        // As nearly all are written.
        if let Some(value) = line.strip_prefix("data: ") {
            (Self::Data, value)
        } else if let Some(value) = line.strip_prefix("id: ") {
            (Self::Id, value)
        } else if let Some(value) = line.strip_prefix("event: ") {
            (Self::Event, value)
        } else if let Some(comment) = line.strip_prefix(':') {
            (Self::Comment, comment)
        } else {
            Self::of_any(line)
        }
    }

    #[inline(never)]
    fn of_any(line: &str) -> (Self, &str) {
        for field in [Self::Data, Self::Event, Self::Id, Self::Retry] {
            let Some(rest) = line.strip_prefix(field.name()) else { continue };
            // "If value starts with a U+0020 SPACE character, remove it from value."
            return match rest.strip_prefix(':') {
                Some(value) => (field, value.strip_prefix(' ').unwrap_or(value)),
                // "Process the field using the whole line as the field name, and the empty string as the value."
                None if rest.is_empty() => (field, ""),
                None => (Self::Unknown, line),
            };
        }
        (Self::Unknown, line)
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
#[expect(clippy::exhaustive_structs, reason = "programs compare it with expected fragments")]
pub struct Fragment<'c> {
    /// What the line is.
    pub line: FieldName,
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
/// Source: WHATWG HTML, section 9.2.6, "Interpreting an event stream". The time is linear in the input
/// however it is cut, and the fragments of a line, joined, do not depend on the cuts.
///
/// ```
/// use ssekit_core::{Lexer, FieldName, Token};
///
/// let mut lexer = Lexer::new();
/// let mut seen = Vec::new();
/// for mut chunk in [&b": hi\nda"[..], b"ta: 4", b"2\n\n"] {
///     while let Some(token) = lexer.next_token(&mut chunk) {
///         match token {
///             Token::Fragment(f) => seen.push((f.line, f.bytes, f.is_last)),
///             _ => seen.push((FieldName::Unknown, b"dispatch", true)),
///         }
///     }
/// }
/// assert_eq!(
///     seen,
///     [
///         (FieldName::Comment, &b" hi"[..], true),
///         (FieldName::Data, b"4", false),
///         (FieldName::Data, b"2", true),
///         (FieldName::Unknown, b"dispatch", true),
///     ]
/// );
/// ```
#[derive(Clone, Debug)]
pub struct Lexer {
    state: State,
}

/// Where in the stream the next byte stands.
#[derive(Clone, Copy, Debug)]
enum State {
    /// At the start of a line.
    LineStart,
    /// Likewise, behind a CR, which has ended its line already: an LF right here belongs to it.
    AfterCr,
    /// In the value, behind a piece of it.
    Value(FieldName),
    /// In the value, with nothing handed out so far.
    ValueStart(FieldName),
    /// Behind the colon, where one space may stand that is not part of the value.
    Colon(FieldName),
    /// Behind so many bytes of this field's name, which may still turn out to be another's.
    Name(FieldName, u8),
    /// At the very start, behind so many bytes of a byte order mark.
    Start(u8),
}

/// A [`Token`] with what is known of its text.
#[derive(Clone, Copy)]
pub(crate) enum Lexeme<'c> {
    Piece(Piece<'c>),
    Dispatch,
}

/// A [`Fragment`].
#[derive(Clone, Copy)]
pub(crate) struct Piece<'c> {
    pub(crate) line: FieldName,
    pub(crate) text: LineBytes<'c>,
    pub(crate) is_first: bool,
    pub(crate) is_last: bool,
}

impl<'c> Piece<'c> {
    /// A value that lies whole in the chunk.
    pub(crate) const fn whole(line: FieldName, text: &'c str) -> Self {
        Self { line, text: LineBytes::Other(text.as_bytes()), is_first: true, is_last: true }
    }
}

impl Default for Lexer {
    fn default() -> Self {
        Self::new()
    }
}

impl Lexer {
    /// A lexer at the start of a stream.
    pub const fn new() -> Self {
        Self { state: State::Start(0) }
    }

    /// The next token in `chunk`, which is moved past it; `None` when the chunk is used up and another is needed.
    ///
    /// An unfinished line or event at the end of the stream yields no further token, and the standard has it discarded.
    #[inline]
    #[must_use = "a token is handed out once"]
    pub fn next_token<'c>(&mut self, chunk: &mut &'c [u8]) -> Option<Token<'c>> {
        if let State::LineStart = self.state {
            let mut lines = Lines::new(chunk);
            if let Some(line) = lines.next() {
                *chunk = lines.rest();
                if line.is_empty() {
                    return Some(Token::Dispatch);
                }
                let (line, value) = FieldName::of(line);
                let bytes = value.as_bytes();
                return Some(Token::Fragment(Fragment { line, bytes, is_first: true, is_last: true }));
            }
        }
        let (lexeme, tail) = self.next_piece(chunk);
        *chunk = tail;
        Some(match lexeme? {
            Lexeme::Dispatch => Token::Dispatch,
            Lexeme::Piece(Piece { line, text, is_first, is_last }) => {
                Token::Fragment(Fragment { line, bytes: text.bytes(), is_first, is_last })
            }
        })
    }

    #[inline(always)]
    pub(crate) fn is_at_line_start(&self) -> bool {
        matches!(self.state, State::LineStart)
    }

    pub(crate) fn is_between_lines(&self) -> bool {
        matches!(self.state, State::LineStart | State::AfterCr | State::Start(0))
    }

    /// The value of a `data` line that starts here and takes all of `chunk`, if that is plain.
    // No more than `next_piece` does, but for small chunks it is a seventh faster to know what comes.
    #[inline]
    pub(crate) fn take_data_start<'c>(&mut self, chunk: &'c [u8]) -> Option<&'c str> {
        let (State::LineStart, Some(value @ [_, ..])) = (self.state, chunk.strip_prefix(b"data: ")) else {
            return None;
        };
        let text = plain_prefix(value);
        if text.len() < value.len() {
            return None;
        }
        self.state = State::Value(FieldName::Data);
        Some(text)
    }

    /// What is plain at the start of `chunk`, if a `data` line goes on there, and what is behind it.
    #[inline]
    pub(crate) fn take_more_data<'c>(&mut self, chunk: &'c [u8]) -> (&'c str, &'c [u8]) {
        let State::Value(FieldName::Data) = self.state else { return ("", chunk) };
        let text = plain_prefix(chunk);
        let mut rest = &chunk[text.len()..];
        if let [b'\n', tail @ ..] = rest {
            self.state = State::LineStart;
            rest = tail;
        }
        (text, rest)
    }

    /// Goes to the start of a line, where only a byte order mark or the LF of a CRLF can stand in between.
    pub(crate) fn settle(&mut self, chunk: &mut &[u8]) {
        match (self.state, *chunk) {
            (State::AfterCr, [b'\n', tail @ ..]) => *chunk = tail,
            (State::AfterCr, [_, ..]) | (State::Start(0), [..=0xEE | 0xF0.., ..]) => {}
            _ => return,
        }
        self.state = State::LineStart;
    }

    /// The next lexeme in `chunk`, wherever it was cut, and what is behind it.
    // The chunk goes by value: a caller's that had its address taken would be kept in memory all the time.
    #[inline]
    pub(crate) fn next_piece<'c>(&mut self, mut chunk: &'c [u8]) -> (Option<Lexeme<'c>>, &'c [u8]) {
        (self.next_lexeme(&mut chunk), chunk)
    }

    #[inline]
    #[expect(clippy::too_many_lines, reason = "one loop: a call between its parts costs instructions for each line")]
    fn next_lexeme<'c>(&mut self, chunk: &mut &'c [u8]) -> Option<Lexeme<'c>> {
        loop {
            let (&byte, tail) = chunk.split_first()?;
            if let State::LineStart = self.state {
                let field = match byte {
                    b'd' => chunk.strip_prefix(b"data: ").map(|value| (FieldName::Data, value)),
                    b'i' => chunk.strip_prefix(b"id: ").map(|value| (FieldName::Id, value)),
                    b'e' => chunk.strip_prefix(b"event: ").map(|value| (FieldName::Event, value)),
                    _ => None,
                };
                if let Some((line, value @ [_, ..])) = field {
                    *chunk = value;
                    return Some(self.value(line, true, chunk));
                }
            }
            let lexeme = match self.state {
                State::Value(line) => Some(self.value(line, false, chunk)),
                State::LineStart => match byte {
                    b'\n' | b'\r' => {
                        *chunk = self.behind_line_end(chunk);
                        Some(Lexeme::Dispatch)
                    }
                    b'd' => self.name(FieldName::Data, 0, chunk),
                    b'e' => self.name(FieldName::Event, 0, chunk),
                    b'i' => self.name(FieldName::Id, 0, chunk),
                    b'r' => self.name(FieldName::Retry, 0, chunk),
                    b':' => {
                        *chunk = tail;
                        self.state = State::ValueStart(FieldName::Comment);
                        None
                    }
                    _ => {
                        self.state = State::ValueStart(FieldName::Unknown);
                        None
                    }
                },
                State::AfterCr => {
                    if byte == b'\n' {
                        *chunk = tail;
                    }
                    self.state = State::LineStart;
                    None
                }
                State::ValueStart(line) => Some(self.value(line, true, chunk)),
                State::Colon(line) => {
                    // "If value starts with a U+0020 SPACE character, remove it from value."
                    if byte == b' ' {
                        *chunk = tail;
                    }
                    self.state = State::ValueStart(line);
                    None
                }
                State::Name(line, seen) => self.name(line, seen, chunk),
                State::Start(seen) => self.start(seen, chunk),
            };
            if lexeme.is_some() {
                return lexeme;
            }
        }
    }

    /// The rest of a field name of which `seen` bytes are behind us. `chunk` is not empty.
    #[inline]
    fn name<'c>(&mut self, line: FieldName, seen: u8, chunk: &mut &'c [u8]) -> Option<Lexeme<'c>> {
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
    fn not_a_name(&mut self, seen: &'static [u8]) -> Option<Lexeme<'static>> {
        if seen.is_empty() {
            self.state = State::ValueStart(FieldName::Unknown);
            return None;
        }
        self.state = State::Value(FieldName::Unknown);
        Some(Lexeme::Piece(Piece {
            line: FieldName::Unknown,
            text: LineBytes::Other(seen),
            is_first: true,
            is_last: false,
        }))
    }

    /// A value up to its line end or the chunk's. `chunk` is not empty.
    #[inline]
    fn value<'c>(&mut self, line: FieldName, is_first: bool, chunk: &mut &'c [u8]) -> Lexeme<'c> {
        let (text, tail) = LineBytes::scan(chunk);
        *chunk = tail;
        let is_last = !chunk.is_empty();
        if is_last {
            self.state = State::LineStart;
            *chunk = self.behind_line_end(chunk);
        } else {
            self.state = State::Value(line);
        }
        Lexeme::Piece(Piece { line, text, is_first, is_last })
    }

    /// `chunk` without the line end that it starts with.
    fn behind_line_end<'c>(&mut self, chunk: &'c [u8]) -> &'c [u8] {
        if chunk == b"\r" {
            self.state = State::AfterCr;
        }
        behind_line_end(chunk)
    }

    /// The start of the stream: "one leading U+FEFF BYTE ORDER MARK character must be ignored if any are present".
    #[cold]
    fn start<'c>(&mut self, seen: u8, chunk: &mut &'c [u8]) -> Option<Lexeme<'c>> {
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
