//! Steps as items of a numbered list, with commands as blocks of code.

use std::fmt::Write as _;

use super::text::harmless;
use crate::model::rule::{Check, Step};
use crate::report::text::escape;

/// A block of code, indented.
pub(super) fn code(indent: &str, language: &str, code: &str) -> String {
    let mut text = format!("{indent}````{language}\n");
    for line in code.lines() {
        // Backticks of a query would end a fence that has no more of them; writing to a String
        // does not fail.
        let _ = writeln!(text, "{indent}{}", escape(line));
    }
    text + indent + "````\n"
}

/// An item of a numbered list. What is added is indented as far as the text behind its number,
/// which makes it a part of the item.
pub(super) struct Item {
    text: String,
    indent: String,
}

impl Item {
    /// The item of a step, with its command.
    pub(super) fn new(number: usize, Step { text, command, .. }: &Step) -> Self {
        let start = format!("{number}. ");
        let indent = " ".repeat(start.len());
        let mut item = Self { text: start + &punctuated(text, command.is_some()) + "\n", indent };
        if let Some(command) = command {
            item.code("sh", command);
        }
        item
    }

    /// Adds how to see that the step worked.
    pub(super) fn check(&mut self, Check { text, command }: &Check) {
        self.paragraph(&punctuated(text, command.is_some()));
        if let Some(command) = command {
            self.code("sh", command);
        }
    }

    /// Adds a paragraph of Markdown.
    pub(super) fn paragraph(&mut self, text: &str) {
        let _ = writeln!(self.text, "\n{}{text}", self.indent);
    }

    /// Adds a block of code.
    pub(super) fn code(&mut self, language: &str, text: &str) {
        self.text += &code(&self.indent, language, text);
    }

    /// Its text.
    pub(super) fn end(self) -> String {
        self.text
    }
}

/// A text as a sentence: before a command, or on its own.
pub(super) fn punctuated(text: &str, has_command: bool) -> String {
    harmless(text) + if has_command { ":" } else { "." }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is indented less than the text behind the number ends the list.
    #[test]
    fn what_belongs_to_an_item_is_indented_as_its_text() {
        for (number, indent) in [(9, "   "), (10, "    "), (100, "     ")] {
            let command = Some("a\nb".to_owned());
            let step = Step { text: "Turn it on".to_owned(), command, check: None, admits: Vec::new() };
            let mut item = Item::new(number, &step);
            item.check(&Check { text: "It is *on*".to_owned(), command: Some("c\u{1b}[2J".to_owned()) });
            let expected = [
                format!("{number}. Turn it on:"),
                format!("{indent}````sh"),
                format!("{indent}a"),
                format!("{indent}b"),
                format!("{indent}````"),
                String::new(),
                format!("{indent}It is \\*on\\*:"),
                format!("{indent}````sh"),
                format!("{indent}c\\u{{1b}}[2J"),
                format!("{indent}````"),
            ];
            assert_eq!(item.end().lines().collect::<Vec<_>>(), expected);
        }
    }
}
