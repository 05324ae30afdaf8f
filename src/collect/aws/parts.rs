//! Large pages in parts. The SDK's types take several times the memory of the XML that they
//! are read from: a page of more items than AWS sends at once is read a part at a time.

use std::fmt;
use std::ops::Range;

use aws_sdk_ec2::config::http::HttpResponse;
use aws_smithy_runtime_api::client::runtime_plugin::RuntimePlugin;
use aws_smithy_runtime_api::client::ser_de::{DeserializeResponse, SharedResponseDeserializer};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::ConfigBag;
use xmlparser::{ElementEnd, Token, Tokenizer};

use super::failure::Failure;

/// The size from which a page is read in parts.
const LARGE: usize = 4 << 20;
/// The most items of a part.
const ITEMS: usize = 1000;

/// What follows the first part of a page.
#[derive(Debug)]
pub(super) struct Rest {
    page: SdkBody,
    /// The items of each part, the last part first.
    parts: Vec<Range<usize>>,
    /// All that is before the first item, and after the last.
    around: Range<usize>,
}

/// Splits a large page into its first part and the rest. Others are left as they are, and so
/// is a document that is no list in XML, for the SDK to reject.
pub(super) fn split(response: &mut HttpResponse) -> Option<Rest> {
    let bytes = response.body().bytes().filter(|bytes| bytes.len() > LARGE)?;
    let text = std::str::from_utf8(bytes).ok().filter(|text| text.starts_with('<'))?;
    let mut parts = parts(text)?;
    if parts.len() < 2 {
        return None;
    }
    let around = parts[0].start..parts[parts.len() - 1].end;
    parts.reverse();
    let page = std::mem::replace(response.body_mut(), SdkBody::taken());
    let mut rest = Rest { page, parts, around };
    *response.body_mut() = SdkBody::from(rest.next_document()?);
    Some(rest)
}

impl Rest {
    /// The next part, as a document of its own.
    fn next_document(&mut self) -> Option<Vec<u8>> {
        let items = self.parts.pop()?;
        let page = self.page.bytes()?;
        Some([&page[..self.around.start], &page[items], &page[self.around.end..]].concat())
    }

    /// The next part, as an operation of the SDK reads it.
    pub(super) fn next<T: fmt::Debug + Send + Sync + 'static>(
        &mut self,
        operation: &impl RuntimePlugin,
    ) -> Option<Result<T, Failure>> {
        let document = self.next_document()?;
        Some(
            deserialize(document, operation).ok_or_else(|| Failure::malformed("a part of it cannot be read")),
        )
    }
}

fn deserialize<T: fmt::Debug + Send + Sync + 'static>(
    document: Vec<u8>,
    operation: &impl RuntimePlugin,
) -> Option<T> {
    let config = operation.config()?;
    let deserializer = config.load::<SharedResponseDeserializer>()?;
    let response = HttpResponse::new(200.try_into().ok()?, SdkBody::from(document));
    let output = deserializer.deserialize_nonstreaming_with_config(&response, &ConfigBag::base());
    output.ok()?.downcast().ok()
}

/// The parts of the list in a document: the items, which are the children `item` of a child of
/// the root. `None` if the document is no such list.
fn parts(text: &str) -> Option<Vec<Range<usize>>> {
    let mut parts: Vec<Range<usize>> = Vec::new();
    let (mut depth, mut items, mut start) = (0_usize, 0_usize, 0);
    for token in Tokenizer::from(text) {
        match token.ok()? {
            Token::ElementStart { local, span, .. } => {
                if depth == 2 && local == "item" {
                    start = span.start();
                }
                depth += 1;
            }
            Token::ElementEnd { end: ElementEnd::Close(_, local), span } => {
                depth = depth.checked_sub(1)?;
                if depth == 2 && local == "item" {
                    match parts.last_mut() {
                        Some(last) if !items.is_multiple_of(ITEMS) => last.end = span.end(),
                        _ => parts.push(start..span.end()),
                    }
                    items += 1;
                }
            }
            Token::ElementEnd { end: ElementEnd::Empty, .. } => depth = depth.checked_sub(1)?,
            _ => {}
        }
    }
    (depth == 0).then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_whole_items_and_cover_all_of_them() {
        let item = |number: usize| format!("<item><a>{number}</a><set><item>x</item></set><e/></item>");
        let list: String = (0..2 * ITEMS + 5).map(item).collect();
        let text =
            format!("<?xml version=\"1.0\"?>\n<R><id>1</id><set>{list}</set><nextToken>t</nextToken></R>");
        let parts = parts(&text).expect("a list");
        assert_eq!(parts.len(), 3);
        let joined: String = parts.iter().map(|part| &text[part.clone()]).collect();
        assert_eq!(joined, list);
        let counts = parts.iter().map(|part| text[part.clone()].matches("<a>").count());
        assert_eq!(counts.collect::<Vec<_>>(), [ITEMS, ITEMS, 5]);
    }

    #[test]
    fn what_is_not_whole_has_no_parts() {
        for text in ["<R><set><item></item>", "<R><set><item></item></set></R></R>", "<R><", "no XML"] {
            assert!(parts(text).is_none_or(|parts| parts.is_empty()), "{text}");
        }
    }
}
