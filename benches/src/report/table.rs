//! Tables in Markdown, and footnotes.

use std::fmt;

/// A table whose first column is text, and whose others are figures.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(head: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { rows: vec![head.into_iter().map(Into::into).collect()] }
    }

    pub(crate) fn row(&mut self, first: impl Into<String>, cells: impl IntoIterator<Item = String>) {
        self.rows.push([first.into()].into_iter().chain(cells).collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let cell = |row: usize, column: usize| self.rows[row].get(column).map_or("", String::as_str);
        let width =
            |column| (0..self.rows.len()).map(|row| cell(row, column).chars().count()).max().unwrap_or(0).max(3);
        for row in 0..self.rows.len() {
            for column in 0..columns {
                let (cell, width) = (cell(row, column), width(column));
                if column == 0 { write!(f, "| {cell:width$} |")? } else { write!(f, " {cell:>width$} |")? }
            }
            writeln!(f)?;
            if row == 0 {
                for column in 0..columns {
                    let line = "-".repeat(width(column) + 1);
                    if column == 0 { write!(f, "|{line}-|")? } else { write!(f, "{line}:|")? }
                }
                writeln!(f)?;
            }
        }
        Ok(())
    }
}

/// Footnotes, each with a number.
#[derive(Default)]
pub(crate) struct Notes(Vec<String>);

impl Notes {
    /// What refers to the note.
    pub(crate) fn mark(&mut self, note: String) -> String {
        let n = self.0.iter().position(|known| *known == note).unwrap_or_else(|| {
            self.0.push(note);
            self.0.len() - 1
        });
        format!("<sup>{}</sup>", n + 1)
    }
}

impl fmt::Display for Notes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().enumerate().try_for_each(|(n, note)| writeln!(f, "<sup>{}</sup> {note}\n", n + 1))
    }
}

/// Three digits, about.
pub(crate) fn number(number: f64) -> String {
    match number {
        0.0 => "0".into(),
        ..0.1 => format!("{number:.3}"),
        ..9.995 => format!("{number:.2}"),
        ..99.95 => format!("{number:.1}"),
        _ => format!("{number:.0}"),
    }
}

/// A ratio.
pub(crate) fn times(ratio: f64) -> String {
    format!("{}x", number(ratio))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned() {
        let mut table = Table::new(["", "ticks"]);
        table.row("`a`", ["1".into()]);
        table.row("`long`", []);
        assert_eq!(
            table.to_string(),
            "|        | ticks |\n\
             |--------|------:|\n\
             | `a`    |     1 |\n\
             | `long` |       |\n"
        );
    }

    #[test]
    fn the_same_note_stands_once() {
        let mut notes = Notes::default();
        let marks = ["a", "b", "a"].map(|note| notes.mark(note.into()));
        assert_eq!(marks, ["<sup>1</sup>", "<sup>2</sup>", "<sup>1</sup>"]);
        assert_eq!(notes.to_string(), "<sup>1</sup> a\n\n<sup>2</sup> b\n\n");
    }

    #[test]
    fn numbers_have_three_digits() {
        let numbers = [0.0, 0.0314, 0.5, 9.999, 10.0, 99.96, 1234.5].map(number);
        assert_eq!(numbers, ["0", "0.031", "0.50", "10.0", "10.0", "100", "1234"]);
    }
}
