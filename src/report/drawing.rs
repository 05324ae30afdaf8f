//! Boxes in a row with arrows between them, as text of a limited width.

use textwrap::core::display_width;
use textwrap::{Options, WordSplitter};

/// The smallest width of the text in a box, if boxes are in a row.
const TEXT_MIN: usize = 11;
/// The width of the border and blanks of a box.
const BORDER: usize = 4;

/// The end of an arrow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Head {
    /// It arrives.
    Arrives,
    /// It does not.
    Ends,
}

/// An arrow to the next box.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrow<'a> {
    /// Its label; may be empty.
    pub(super) label: &'a str,
    /// Its end.
    pub(super) head: Head,
}

impl Arrow<'_> {
    fn end(self) -> char {
        if self.head == Head::Arrives { '▶' } else { '╳' }
    }

    fn line(self) -> String {
        match self.label {
            "" => format!("──{}", self.end()),
            label => format!("─ {label} ─{}", self.end()),
        }
    }
}

/// Draws boxes in a row; below each other if the width does not suffice. The text of a box must
/// be escaped; its lines are wrapped. `arrows` are those between two boxes each.
pub(super) fn boxes(texts: &[Vec<String>], arrows: &[Arrow<'_>], width: usize) -> Vec<String> {
    let width = width.max(TEXT_MIN + BORDER);
    let natural =
        |lines: &Vec<String>| lines.iter().map(|line| display_width(line)).max().unwrap_or(0).clamp(1, width);
    let mut widths: Vec<usize> = texts.iter().map(natural).collect();
    let lines: Vec<_> = arrows.iter().map(|arrow| arrow.line()).collect();
    let fixed = BORDER * texts.len() + lines.iter().map(|line| display_width(line)).sum::<usize>();
    while fixed + widths.iter().sum::<usize>() > width {
        // The widest first: most lines of text are narrow.
        let widest = widths.iter_mut().filter(|width| **width > TEXT_MIN).max_by_key(|width| **width);
        match widest {
            Some(widest) => *widest -= 1,
            None => return stacked(texts, arrows, width),
        }
    }
    let wrapped: Vec<_> = texts.iter().zip(&widths).map(|(text, width)| wrap(text, *width)).collect();
    let widths: Vec<_> = wrapped.iter().map(natural).collect();
    let height = wrapped.iter().map(Vec::len).max().unwrap_or(0);
    let blanks: Vec<_> = lines.iter().map(|line| " ".repeat(display_width(line))).collect();
    let border = |left: char, right: char| {
        let sides = widths.iter().map(|width| format!("{left}{}{right}", "─".repeat(width + 2)));
        joined(sides.collect(), &blanks)
    };
    let mut drawing = vec![border('┌', '┐')];
    for row in 0..height {
        let cells = wrapped.iter().zip(&widths).enumerate().map(|(at, (text, width))| {
            let text = text.get(row).map_or("", String::as_str);
            let right = if row == 0 && at < lines.len() { '├' } else { '│' };
            format!("│ {} {right}", padded(text, *width))
        });
        drawing.push(joined(cells.collect(), if row == 0 { &lines } else { &blanks }));
    }
    drawing.push(border('└', '┘'));
    drawing
}

/// Boxes below each other.
fn stacked(texts: &[Vec<String>], arrows: &[Arrow<'_>], width: usize) -> Vec<String> {
    let mut drawing = Vec::new();
    for (at, text) in texts.iter().enumerate() {
        let alone = boxes(std::slice::from_ref(text), &[], width.max(TEXT_MIN + BORDER));
        drawing.extend(alone);
        if let Some(arrow) = arrows.get(at) {
            let end = if arrow.head == Head::Arrives { '▼' } else { '╳' };
            drawing.push(format!("  {end} {}", arrow.label).trim_end().to_owned());
        }
    }
    drawing
}

/// Parts of a line with what is between them.
fn joined(parts: Vec<String>, between: &[String]) -> String {
    let mut between = between.iter();
    parts.into_iter().map(|part| part + between.next().map_or("", String::as_str)).collect()
}

fn wrap(text: &[String], width: usize) -> Vec<String> {
    let options = Options::new(width).word_splitter(WordSplitter::NoHyphenation).break_words(true);
    let lines = text.iter().flat_map(|line| textwrap::wrap(line, &options));
    lines.map(std::borrow::Cow::into_owned).collect()
}

fn padded(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(display_width(text))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| (*line).to_owned()).collect()
    }

    const ARROW: Arrow<'_> = Arrow { label: "socket", head: Head::Arrives };

    #[test]
    fn boxes_fit_every_width() {
        let texts = [text(&["n1, n2", "kubelet"]), text(&["한국어 endpoint", "2001:db8:da12:f01::a5", "x"])];
        for width in 20..120 {
            let drawing = boxes(&texts, &[ARROW], width);
            let widest = drawing.iter().map(|line| display_width(line)).max();
            assert!(widest <= Some(width), "{width}: {drawing:#?}");
        }
    }

    #[test]
    fn boxes_are_joined_by_labelled_arrows() {
        let drawing = boxes(&[text(&["n1"]), text(&["API", "10.0.0.1"])], &[ARROW], 80);
        assert_eq!(
            drawing,
            [
                "┌────┐            ┌──────────┐",
                "│ n1 ├─ socket ─▶│ API      │",
                "│    │            │ 10.0.0.1 │",
                "└────┘            └──────────┘",
            ]
            .map(|line| line.replace("            ", "           "))
        );
    }

    #[test]
    fn boxes_that_are_too_wide_are_stacked() {
        let drawing = boxes(&[text(&["n1"]), text(&["API"])], &[ARROW], 20);
        assert_eq!(drawing.get(3).map(String::as_str), Some("  ▼ socket"), "{drawing:#?}");
    }
}
