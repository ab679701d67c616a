//! The text of a page of rustdoc.

/// The start of a piece of a page, its end, and whether it is a heading that starts a section.
const PIECES: [(&str, &str); 4] = [
    ("<pre class=\"rust item-decl\"><code>", "</code></pre>"),
    ("<h2 id=\"", "</h2>"),
    ("<h3 class=\"code-header\">", "</h3>"),
    ("<h4 class=\"code-header\">", "</h4>"),
];

/// Auto traits that callers rely on. The others change with rustc.
const AUTO_TRAITS: [&str; 2] = ["Send for ", "Sync for "];

/// Whether a page only names the page of an item that is re-exported.
pub(crate) fn is_redirection(page: &str) -> bool {
    page.contains("http-equiv=\"refresh\"")
}

/// The declaration of an item, its methods, and the traits that it implements.
pub(crate) fn contents(page: &str) -> String {
    let mut contents = String::new();
    let mut section = String::new();
    let mut rest = page.split_once("id=\"main-content\"").map_or("", |(_, main)| main);
    while let Some((piece, text, after)) = next_piece(rest) {
        rest = after;
        match piece {
            0 => contents += &indented(&plain(text)),
            1 => section = text.split('"').next().unwrap_or_default().into(),
            _ if section == "blanket-implementations" || section.contains("implementors") => {}
            // Variants are in the declaration of their type.
            2 if section == "variants" => {}
            // The methods of a trait are in its declaration.
            3 if section != "implementations" && !plain(text).starts_with("type ") => {}
            // rustc's own trait, which no caller can use.
            2 if text.contains("StructuralPartialEq") => {}
            _ => {
                let line = one_line(&plain(text));
                let is_auto = section == "synthetic-implementations";
                if !is_auto || AUTO_TRAITS.iter().any(|name| line.contains(name)) {
                    let indent = if piece == 2 { "  " } else { "    " };
                    contents += &format!("{indent}{line}\n");
                }
            }
        }
    }
    contents
}

/// The next piece of a page by its index in [`PIECES`], its text, and the rest of the page.
fn next_piece(page: &str) -> Option<(usize, &str, &str)> {
    let starts = PIECES.iter().enumerate().filter_map(|(n, (start, _))| Some((page.find(start)?, n)));
    let (at, n) = starts.min()?;
    let (start, end) = PIECES[n];
    let (text, after) = page[at + start.len()..].split_once(end)?;
    Some((n, text, after))
}

/// Text without tags and entities.
fn plain(html: &str) -> String {
    let mut text = String::new();
    let mut rest = html;
    while let Some((before, tag)) = rest.split_once('<') {
        text += before;
        // "Show 5 fields" is a button.
        rest = match tag.strip_prefix("summary") {
            Some(button) => button.split_once("</summary>").map_or("", |(_, after)| after),
            None => tag.split_once('>').map_or("", |(_, after)| after),
        };
        // Attributes and `where` clauses are blocks of their own.
        if tag.starts_with("div") || tag.starts_with("/div") {
            text.push('\n');
        }
    }
    text += rest;
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&#39;", "'"), ("&quot;", "\""), ("&nbsp;", " "), ("&amp;", "&")];
    entities.into_iter().fold(text, |text, (entity, character)| text.replace(entity, character))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn indented(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines.map(|line| format!("  {}\n", line.trim_end())).collect()
}

/// The lines that were removed and added, with the item that each belongs to.
pub(crate) fn difference(before: &str, after: &str) -> String {
    let (before, after) = (with_items(before), with_items(after));
    let missing = |from: &[(String, String)], of: &[(String, String)], sign| -> String {
        let lines = from.iter().filter(|line| !of.contains(line));
        lines.map(|(item, line)| format!("{sign} {item}: {}\n", line.trim())).collect()
    };
    missing(&before, &after, '-') + &missing(&after, &before, '+')
}

/// Each line with its item, which is the last line without an indentation.
fn with_items(api: &str) -> Vec<(String, String)> {
    let mut item = String::new();
    let mut lines = Vec::new();
    for line in api.lines().filter(|line| !line.is_empty()) {
        if !line.starts_with(' ') {
            item = line.into();
        }
        lines.push((item.clone(), line.into()));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "<nav><h2 id=\"x\">no</h2></nav><section id=\"main-content\">\
        <pre class=\"rust item-decl\"><code>pub struct <a>Map</a>&lt;K&gt; {\n    pub len: usize,\n\n}</code></pre>\
        <h2 id=\"implementations\" class=\"h\">Implementations</h2>\
        <h3 class=\"code-header\">impl&lt;K&gt; Map&lt;K&gt;</h3>\
        <h4 class=\"code-header\">pub fn <a>get</a>(&amp;self) -&gt; K<div class=\"where\">where\n    K: Copy,</div></h4>\
        <h2 id=\"trait-implementations\">T</h2><h3 class=\"code-header\">impl&lt;K&gt; Stream for Map&lt;K&gt;</h3>\
        <h4 class=\"code-header\">type Item = K</h4><h4 class=\"code-header\">fn poll()</h4>\
        <h2 id=\"synthetic-implementations\">A</h2><h3 class=\"code-header\">impl&lt;K&gt; !Send for Map&lt;K&gt;</h3>\
        <h3 class=\"code-header\">impl&lt;K&gt; Freeze for Map&lt;K&gt;</h3>\
        <h2 id=\"blanket-implementations\">B</h2><h3 class=\"code-header\">impl&lt;T&gt; Any for T</h3>";

    #[test]
    fn page_of_a_type_gives_its_api() {
        let expected = "  pub struct Map<K> {\n      pub len: usize,\n  }\n  impl<K> Map<K>\n    \
                        pub fn get(&self) -> K where K: Copy,\n  impl<K> Stream for Map<K>\n    type Item = K\n  \
                        impl<K> !Send for Map<K>\n";
        assert_eq!(contents(PAGE), expected);
    }

    #[test]
    fn changed_method_is_a_difference_of_its_type() {
        let (before, after) = ("core::Map struct\n  fn a()\n  fn b()\n", "core::Map struct\n  fn a()\n  fn c()\n");
        assert_eq!(difference(before, after), "- core::Map struct: fn b()\n+ core::Map struct: fn c()\n");
        assert_eq!(difference(before, before), "");
    }

    #[test]
    fn same_method_of_another_type_is_a_difference() {
        let difference = difference("A struct\n  fn a()\nB struct\n", "A struct\nB struct\n  fn a()\n");
        assert_eq!(difference, "- A struct: fn a()\n+ B struct: fn a()\n");
    }
}
