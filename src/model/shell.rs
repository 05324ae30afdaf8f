//! Quoting of words in shell commands that are printed for the user to copy.

use std::borrow::Cow;
use std::path::Path;

use super::text::split_command;

/// Returns a name if it is safe in a shell command without quotes, otherwise the
/// placeholder.
#[must_use]
pub fn shell_word<'a>(name: &'a str, placeholder: &'a str) -> &'a str {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/".contains(&byte);
    let is_safe = !name.is_empty() && !name.starts_with('-') && name.bytes().all(is_plain);
    if is_safe { name } else { placeholder }
}

/// How the name of a file ends that a printed command writes before the file takes its name.
pub const UNFINISHED: &str = ".new";

/// A command whose output is written into a file. The output of one that fails does not replace
/// what the file had: the shell empties a file before the command runs.
#[must_use]
pub fn saved(command: &str, path: &str) -> String {
    // The option of a command begins with a hyphen too.
    let here = if path.starts_with('-') { "./" } else { "" };
    let path = format!("{here}{path}");
    let unfinished = format!("{path}{UNFINISHED}");
    let unfinished = shell_quoted(&unfinished);
    format!("{command} > {unfinished} && mv {unfinished} {}", shell_quoted(&path))
}

/// A text that may end with a command which writes a file of a directory (`> FILE`), with the
/// path of that file, which only a command that succeeds replaces. A subdirectory is made first, as
/// the directory need not have it.
#[must_use]
pub fn written_into(directory: &Path, text: String) -> String {
    match text.rsplit_once(" > ") {
        Some((command, file)) if !file.is_empty() && !file.starts_with('/') && !file.contains(' ') => {
            let path = directory.join(file);
            let path = path.to_string_lossy();
            let parent = path.rsplit_once('/').map(|(parent, _)| parent).filter(|_| file.contains('/'));
            let written = match (split_command(command), parent) {
                ((prose, Some(command)), Some(parent)) => {
                    let here = if parent.starts_with('-') { "./" } else { "" };
                    let parent = format!("{here}{parent}");
                    format!("{prose}: mkdir -p {} && {command}", shell_quoted(&parent))
                }
                _ => command.to_owned(),
            };
            saved(&written, &path)
        }
        _ => text,
    }
}

/// Quotes a word for a POSIX shell, if necessary.
#[must_use]
pub fn shell_quoted(word: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./=:,@%+".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        return Cow::Borrowed(word);
    }
    Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
}

/// Words as they are written in a POSIX shell, each behind a blank.
#[must_use]
pub fn shell_words(words: &[impl AsRef<str>]) -> String {
    words.iter().flat_map(|word| [Cow::Borrowed(" "), shell_quoted(word.as_ref())]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_write_into_the_directory_of_the_evidence() {
        let text = || "record it with: aws ec2 describe-subnets > subnets.json".to_owned();
        for (directory, end) in [
            ("/tmp/e", "> /tmp/e/subnets.json.new && mv /tmp/e/subnets.json.new /tmp/e/subnets.json"),
            ("a b", "> 'a b/subnets.json.new' && mv 'a b/subnets.json.new' 'a b/subnets.json'"),
            ("it's", r"> 'it'\''s/subnets.json.new' && mv 'it'\''s/subnets.json.new' 'it'\''s/subnets.json'"),
            ("$(x)", "> '$(x)/subnets.json.new' && mv '$(x)/subnets.json.new' '$(x)/subnets.json'"),
        ] {
            let written = written_into(Path::new(directory), text());
            assert!(written.ends_with(end), "{written}");
        }
        let text = || "capture it as root: ssh n sudo ss -tnp > nodes/n.txt".to_owned();
        for (directory, made, written) in [
            ("/tmp/e", "/tmp/e/nodes", "/tmp/e/nodes/n.txt"),
            ("a b", "'a b/nodes'", "'a b/nodes/n.txt'"),
            ("-e", "./-e/nodes", "./-e/nodes/n.txt"),
            ("", "nodes", "nodes/n.txt"),
        ] {
            let unfinished = match written.strip_suffix('\'') {
                Some(quoted) => format!("{quoted}.new'"),
                None => format!("{written}.new"),
            };
            let command =
                format!("mkdir -p {made} && ssh n sudo ss -tnp > {unfinished} && mv {unfinished} {written}");
            let written = written_into(Path::new(directory), text());
            assert_eq!(written, format!("capture it as root: {command}"));
            assert_eq!(split_command(&written), ("capture it as root", Some(command.as_str())));
        }
        for text in ["", "try again", "x > /tmp/y", "a > b, and c"] {
            assert_eq!(written_into(Path::new("/tmp/e"), text.to_owned()), text);
        }
    }
}
