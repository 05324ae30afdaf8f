//! Links between the pages resolve, and the summary lists every page.

use super::{markdown_files, pages, read};
use crate::common::root;

#[test]
fn every_link_resolves() {
    let mut broken = Vec::new();
    for file in markdown_files() {
        for link in links(&read(&file)) {
            if let Err(why) = resolve(&file, &link) {
                broken.push(format!("{file}: {link}: {why}"));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// Follows a relative link of a file; links to other sites are not looked up.
fn resolve(file: &str, link: &str) -> Result<(), &'static str> {
    if ["https://", "http://", "mailto:"].iter().any(|scheme| link.starts_with(scheme)) {
        return Ok(());
    }
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let from = root().join(file);
    let to = if path.is_empty() { from } else { from.parent().unwrap().join(path) };
    let to = to.canonicalize().map_err(|_| "there is no such file")?;
    let inside = to.strip_prefix(root().canonicalize().unwrap()).map_err(|_| "outside the repository")?;
    let is_markdown = to.extension().is_some_and(|extension| extension == "md");
    // mdBook makes .html of .md in links, and has no such file for what is no page.
    if is_markdown && file.starts_with("docs/") && !inside.starts_with("docs") {
        return Err("a page cannot link to Markdown outside the book");
    }
    if anchor.is_empty() {
        return Ok(());
    }
    if !is_markdown {
        return Err("only Markdown has headings");
    }
    let has_heading =
        headings(&std::fs::read_to_string(&to).unwrap()).iter().any(|heading| heading == anchor);
    if has_heading { Ok(()) } else { Err("there is no such heading") }
}

/// The paragraphs of a Markdown file, without code blocks and inline code.
fn paragraphs(text: &str) -> Vec<String> {
    let mut fenced = false;
    let mut outside = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            outside.push('\n');
        } else if !fenced {
            outside.push_str(line);
            outside.push('\n');
        }
    }
    outside.split("\n\n").map(|paragraph| paragraph.split('`').step_by(2).collect()).collect()
}

/// The targets of links and images, `[text](target)`, and of definitions, `[label]: target`.
pub(crate) fn links(text: &str) -> Vec<String> {
    let mut links = Vec::new();
    for line in paragraphs(text).iter().flat_map(|paragraph| paragraph.lines()) {
        let inline = line.split("](").skip(1).map(|rest| rest.split(')').next().unwrap());
        let definition =
            line.strip_prefix('[').and_then(|rest| rest.split_once("]: ")).map(|(_, target)| target);
        for target in inline.chain(definition) {
            // What follows the target is a title.
            let target = target.split_whitespace().next().unwrap_or_default();
            links.push(target.trim_matches(['<', '>']).to_owned());
        }
    }
    links
}

/// The anchors of the headings, as GitHub and mdBook make them.
fn headings(text: &str) -> Vec<String> {
    let mut anchors: Vec<String> = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        let heading = line.trim_start_matches('#');
        if fenced || heading.len() == line.len() || !heading.starts_with(' ') {
            continue;
        }
        let kept = heading.trim().chars().filter(|char| char.is_alphanumeric() || " -_".contains(*char));
        let anchor: String =
            kept.flat_map(char::to_lowercase).map(|char| if char == ' ' { '-' } else { char }).collect();
        let times = anchors.iter().filter(|other| **other == anchor).count();
        anchors.push(if times == 0 { anchor } else { format!("{anchor}-{times}") });
    }
    anchors
}

#[test]
fn links_and_headings_are_found() {
    let text = "# `audit`: what, and why?\n[a](b.md#c \"title\") ![d](e.png)\n```\n[no](no)\n# no\n```\n`[no](no)`\n[f]: <g.md>\n## Same\n## Same\n";
    assert_eq!(links(text), ["b.md#c", "e.png", "g.md"]);
    assert_eq!(headings(text), ["audit-what-and-why", "same", "same-1"]);
    assert!(
        resolve("README.md", "docs/trace.md").is_ok() && resolve("docs/trace.md", "../action.yml").is_ok()
    );
    for (file, link) in [
        ("README.md", "docs/no-such.md"),
        ("README.md", "README.md#no-such-heading"),
        ("README.md", "#no-such-heading"),
        ("README.md", "../README.md"),
        ("docs/trace.md", "../README.md"),
        ("docs/trace.md", "../action.yml#inputs"),
    ] {
        assert!(resolve(file, link).is_err(), "{file}: {link}");
    }
}

#[test]
fn the_summary_lists_every_page_and_no_other() {
    let mut listed = links(&read("docs/SUMMARY.md"));
    listed.sort();
    assert_eq!(listed, pages());
}
