//! Whether an answer of EC2 is whole. The SDK takes the beginning of an XML document for the
//! document, and a body without a length can end anywhere: the client of a proxy that loses
//! its connection cannot know that there was more.

use xmlparser::{ElementEnd, Token, Tokenizer};

/// The problem of an answer that is not whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer is cut off or damaged: {0}")]
pub(super) struct NotWhole(&'static str);

/// Checks that a document is whole: its elements are closed, in the order of their nesting.
///
/// # Errors
/// If it is not, or is no XML.
pub(super) fn check_xml(document: &[u8]) -> Result<(), NotWhole> {
    let text = std::str::from_utf8(document).map_err(|_| NotWhole("it is not UTF-8"))?;
    let mut open = Vec::new();
    let mut has_root = false;
    for token in Tokenizer::from(text) {
        match token.map_err(|_| NotWhole("it is not well-formed XML"))? {
            Token::ElementStart { prefix, local, .. } => {
                open.push((prefix.as_str(), local.as_str()));
                has_root = true;
            }
            Token::ElementEnd { end: ElementEnd::Close(prefix, local), .. } => {
                let last = open.pop();
                if last != Some((prefix.as_str(), local.as_str())) {
                    return Err(NotWhole("an element ends that was not the last to begin"));
                }
            }
            Token::ElementEnd { end: ElementEnd::Empty, .. } => drop(open.pop()),
            _ => {}
        }
    }
    if has_root && open.is_empty() { Ok(()) } else { Err(NotWhole("its last element does not end")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer of EC2, abridged.
    const ANSWER: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<DescribeVpcsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
    <requestId>7a62c49f</requestId>
    <vpcSet><item><vpcId>vpc-1</vpcId><note a="b>c">x &lt; y</note><isDefault/></item></vpcSet>
</DescribeVpcsResponse>"#;

    #[test]
    fn no_beginning_of_a_document_is_whole() {
        assert_eq!(check_xml(ANSWER.as_bytes()), Ok(()));
        assert_eq!(check_xml(format!("{ANSWER}\n").as_bytes()), Ok(()));
        for end in 0..ANSWER.len() {
            assert!(check_xml(&ANSWER.as_bytes()[..end]).is_err(), "{}", &ANSWER[..end]);
        }
    }

    #[test]
    fn a_document_without_a_part_in_the_middle_is_not_whole() {
        let (before, after) = ANSWER.split_once("</item>").expect("an item");
        assert!(check_xml(format!("{before}{after}").as_bytes()).is_err());
        assert!(check_xml(ANSWER.replace("<vpcId>", "<vpcId").as_bytes()).is_err());
    }
}
