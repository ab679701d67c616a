//! The tokens of an event stream: lines and blank lines, without any buffer.

use crate::line_bytes::{LineBytes, after_line_end};
use crate::scan::{Lines, plain_prefix};

/// UTF-8's byte order mark.
const BOM: &[u8] = b"\xEF\xBB\xBF";

/// The field that a line sets, or the kind of a line without a field.
///
/// The standard defines four fields. Their names are compared byte by byte, so `Data` is an unknown field.
///
/// ```
/// use ssekit_core::FieldName;
///
/// assert_eq!(FieldName::Retry.name(), "retry");
/// assert_eq!(FieldName::Comment.name(), "");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FieldName {
    /// The field `data`: one line of the event's data.
    Data,
    /// The field `event`: the event type.
    Event,
    /// The field `id`: the event's ID.
    Id,
    /// The field `retry`: the reconnection time in milliseconds.
    Retry,
    /// A comment: a line that starts with a colon.
    Comment,
    /// Any other line. The standard says that a decoder ignores it.
    Unknown,
}

impl FieldName {
    /// Returns the field name on the wire, or an empty string for a comment and an unknown line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Event => "event",
            Self::Id => "id",
            Self::Retry => "retry",
            Self::Comment | Self::Unknown => "",
        }
    }

    /// Splits a line that is not blank into its field and its value.
    #[inline(always)]
    pub(crate) fn of(line: &str) -> (Self, &str) {
        // Nearly all senders write these forms.
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

/// A token of an event stream: a value, a part of a value, or a blank line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Token<'c> {
    /// A line's value, or the part of it in this chunk.
    Value(ValueFragment<'c>),
    /// A blank line, which ends an event. The standard calls this "dispatch the event".
    BlankLine,
}

/// A line's value, or the part of it in one chunk.
///
/// The value depends on the kind of the line:
///
/// | line | value |
/// |---|---|
/// | a field | the bytes after the colon and one optional space |
/// | a comment | the bytes after the colon |
/// | an unknown line | the whole line |
///
/// The bytes are not checked to be UTF-8, and an `id` with a NUL is not ignored here: the decoder does both.
///
/// Each line has one fragment with [`is_first`](Self::is_first) and one with [`is_last`](Self::is_last). Both are set
/// if the line lies in one chunk. A fragment with neither is not empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "programs compare it with expected fragments")]
pub struct ValueFragment<'c> {
    /// The field that the line sets, or its kind.
    pub field: FieldName,
    /// The bytes of this fragment, borrowed from the chunk.
    pub bytes: &'c [u8],
    /// Whether the value starts with this fragment.
    pub is_first: bool,
    /// Whether the value, and its line, ends with this fragment.
    pub is_last: bool,
}

/// Splits an event stream into [`Token`]s without copying it.
///
/// The chunks can have any size and can be cut anywhere. A line's fragments, joined, do not depend on the cuts.
///
/// Use it for values that are larger than memory, for a proxy that inspects a stream while it forwards the bytes, and
/// for comments, which the decoder skips. [`BufferedDecoder`](crate::BufferedDecoder) is built on it.
///
/// A lexer is at most four bytes. It never allocates, and its time is linear in the input.
///
/// Source: WHATWG HTML, section 9.2.6, "Interpreting an event stream".
///
/// ```
/// use ssekit_core::{Lexer, FieldName, Token};
///
/// let mut lexer = Lexer::new();
/// let mut seen = Vec::new();
/// for mut chunk in [&b": hi\nda"[..], b"ta: 4", b"2\n\n"] {
///     while let Some(token) = lexer.next_token(&mut chunk) {
///         match token {
///             Token::Value(f) => seen.push((f.field, f.bytes, f.is_last)),
///             _ => seen.push((FieldName::Unknown, b"blank line", true)),
///         }
///     }
/// }
/// assert_eq!(
///     seen,
///     [
///         (FieldName::Comment, &b" hi"[..], true),
///         (FieldName::Data, b"4", false),
///         (FieldName::Data, b"2", true),
///         (FieldName::Unknown, b"blank line", true),
///     ]
/// );
/// ```
#[derive(Clone, Debug)]
pub struct Lexer {
    state: State,
}

/// The place of the next byte in the stream.
///
/// ```text
///               "da"          "ta"          ":"           " "             value, chunk ends
/// LineStart ---------> Name --------> Name -----> Colon -----> ValueStart ------------------> Value
/// The usual names with a space, such as `data: `, and whole lines take shortcuts in this drawing. A colon, or the
/// first byte of an unknown line, leads from `LineStart` to `ValueStart`. A line that only starts like a field
/// continues as `Value(Unknown)`.
///    |  |                                                  line end |                  line end |
///    |  +-----------------------------------------------------------+---------------------------+
///    | any byte (an LF is skipped)
/// AfterCr <--- instead of LineStart, if a CR is the last byte of its chunk
///
/// Start(n): before the first line, after n bytes of a byte order mark
/// ```
///
/// The usual names with a space, such as `data: `, and whole lines take shortcuts in this drawing.
#[derive(Clone, Copy, Debug)]
enum State {
    /// At the start of a line.
    LineStart,
    /// At the start of a line, after a CR at the end of a chunk. The CR has ended its line; an LF here belongs to it.
    AfterCr,
    /// In the value, after a part of it.
    Value(FieldName),
    /// In the value, before any part of it was returned.
    ValueStart(FieldName),
    /// After the colon. One space can follow that is not part of the value.
    Colon(FieldName),
    /// After this many bytes of this field's name. The line can still turn out to be unknown.
    Name(FieldName, u8),
    /// At the start of the stream, after this many bytes of a byte order mark.
    Start(u8),
}

/// A [`Token`] that remembers whether its text is plain.
#[derive(Clone, Copy)]
pub(crate) enum Lexeme<'c> {
    Piece(Piece<'c>),
    BlankLine,
}

/// A [`ValueFragment`] that remembers whether its text is plain.
#[derive(Clone, Copy)]
pub(crate) struct Piece<'c> {
    pub(crate) field: FieldName,
    pub(crate) text: LineBytes<'c>,
    pub(crate) is_first: bool,
    pub(crate) is_last: bool,
}

impl<'c> Piece<'c> {
    /// Makes the piece of a value that lies whole in the chunk.
    pub(crate) const fn whole(field: FieldName, text: &'c str) -> Self {
        Self { field, text: LineBytes::Other(text.as_bytes()), is_first: true, is_last: true }
    }
}

impl Default for Lexer {
    fn default() -> Self {
        Self::new()
    }
}

impl Lexer {
    /// Makes a lexer at the start of a stream.
    pub const fn new() -> Self {
        Self { state: State::Start(0) }
    }

    /// Returns the next token and moves `chunk` past it.
    ///
    /// Returns `None` when the chunk is used up. Then call it with the next chunk. At the end of the stream, an
    /// unfinished line or event has no further token; the standard says that it is discarded.
    #[inline]
    #[must_use = "a token is handed out once"]
    pub fn next_token<'c>(&mut self, chunk: &mut &'c [u8]) -> Option<Token<'c>> {
        if let State::LineStart = self.state {
            let mut lines = Lines::new(chunk);
            if let Some(line) = lines.next() {
                *chunk = lines.rest();
                if line.is_empty() {
                    return Some(Token::BlankLine);
                }
                let (field, value) = FieldName::of(line);
                let bytes = value.as_bytes();
                return Some(Token::Value(ValueFragment { field, bytes, is_first: true, is_last: true }));
            }
        }
        let (lexeme, tail) = self.next_piece(chunk);
        *chunk = tail;
        Some(match lexeme? {
            Lexeme::BlankLine => Token::BlankLine,
            Lexeme::Piece(Piece { field, text, is_first, is_last }) => {
                Token::Value(ValueFragment { field, bytes: text.bytes(), is_first, is_last })
            }
        })
    }

    #[inline(always)]
    pub(crate) fn is_at_line_start(&self) -> bool {
        matches!(self.state, State::LineStart)
    }

    pub(crate) fn is_at_line_boundary(&self) -> bool {
        matches!(self.state, State::LineStart | State::AfterCr | State::Start(0))
    }

    /// Returns the value of a `data` line that starts here, if it takes all of `chunk` and is plain.
    // `next_piece` handles this case too. For small chunks this shortcut is a seventh faster.
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

    /// Returns the plain text at the start of `chunk`, if a `data` line continues there, and the bytes after it.
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

    /// Moves to the start of a line, if only a byte order mark or the LF of a CRLF can be in between.
    pub(crate) fn settle(&mut self, chunk: &mut &[u8]) {
        match (self.state, *chunk) {
            (State::AfterCr, [b'\n', tail @ ..]) => *chunk = tail,
            (State::AfterCr, [_, ..]) | (State::Start(0), [..=0xEE | 0xF0.., ..]) => {}
            _ => return,
        }
        self.state = State::LineStart;
    }

    /// Returns the next lexeme in `chunk`, at any cut, and the bytes after it.
    // The chunk is passed by value: the compiler keeps a variable in memory for good once its address was taken.
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
                let whole_name = match byte {
                    b'd' => chunk.strip_prefix(b"data: ").map(|value| (FieldName::Data, value)),
                    b'i' => chunk.strip_prefix(b"id: ").map(|value| (FieldName::Id, value)),
                    b'e' => chunk.strip_prefix(b"event: ").map(|value| (FieldName::Event, value)),
                    _ => None,
                };
                if let Some((field, value @ [_, ..])) = whole_name {
                    *chunk = value;
                    return Some(self.value(field, true, chunk));
                }
            }
            let lexeme = match self.state {
                State::Value(field) => Some(self.value(field, false, chunk)),
                State::LineStart => match byte {
                    b'\n' | b'\r' => {
                        *chunk = self.after_line_end(chunk);
                        Some(Lexeme::BlankLine)
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
                State::ValueStart(field) => Some(self.value(field, true, chunk)),
                State::Colon(field) => {
                    // "If value starts with a U+0020 SPACE character, remove it from value."
                    if byte == b' ' {
                        *chunk = tail;
                    }
                    self.state = State::ValueStart(field);
                    None
                }
                State::Name(field, seen) => self.name(field, seen, chunk),
                State::Start(seen) => self.start(seen, chunk),
            };
            if lexeme.is_some() {
                return lexeme;
            }
        }
    }

    /// Reads the rest of a field name, after its first `seen` bytes.
    ///
    /// Requires `!chunk.is_empty()` and `seen <= field.name().len()`.
    #[inline]
    fn name<'c>(&mut self, field: FieldName, seen: u8, chunk: &mut &'c [u8]) -> Option<Lexeme<'c>> {
        let (done, rest) = field.name().as_bytes().split_at_checked(usize::from(seen))?;
        if let Some(after) = chunk.strip_prefix(rest) {
            match after.first() {
                Some(b':') => {
                    *chunk = &after[1..];
                    self.state = State::Colon(field);
                }
                // "Process the field using the whole line as the field name, and the empty string as the value."
                Some(b'\n' | b'\r') => {
                    *chunk = after;
                    self.state = State::ValueStart(field);
                }
                Some(_) => return self.not_a_name(done),
                None => {
                    *chunk = after;
                    self.state = State::Name(field, field.name().len() as u8);
                }
            }
            None
        } else if rest.starts_with(chunk) {
            self.state = State::Name(field, seen + chunk.len() as u8);
            *chunk = &[];
            None
        } else {
            self.not_a_name(done)
        }
    }

    /// Continues a line that started like a field name as an unknown line. `seen` is its start, from earlier chunks.
    #[cold]
    fn not_a_name(&mut self, seen: &'static [u8]) -> Option<Lexeme<'static>> {
        if seen.is_empty() {
            self.state = State::ValueStart(FieldName::Unknown);
            return None;
        }
        self.state = State::Value(FieldName::Unknown);
        Some(Lexeme::Piece(Piece {
            field: FieldName::Unknown,
            text: LineBytes::Other(seen),
            is_first: true,
            is_last: false,
        }))
    }

    /// Reads a value up to its line end or the end of the chunk. Requires `!chunk.is_empty()`.
    #[inline]
    fn value<'c>(&mut self, field: FieldName, is_first: bool, chunk: &mut &'c [u8]) -> Lexeme<'c> {
        let (text, tail) = LineBytes::scan(chunk);
        *chunk = tail;
        let is_last = !chunk.is_empty();
        if is_last {
            self.state = State::LineStart;
            *chunk = self.after_line_end(chunk);
        } else {
            self.state = State::Value(field);
        }
        Lexeme::Piece(Piece { field, text, is_first, is_last })
    }

    /// Returns `chunk` without the line end at its start.
    fn after_line_end<'c>(&mut self, chunk: &'c [u8]) -> &'c [u8] {
        if chunk == b"\r" {
            self.state = State::AfterCr;
        }
        after_line_end(chunk)
    }

    /// Reads the start of the stream: "one leading U+FEFF BYTE ORDER MARK character must be ignored if any are
    /// present".
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
