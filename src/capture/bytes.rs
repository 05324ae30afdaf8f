//! Eight bytes at a time, in safe Rust: what makes a million rows cheap.
//!
//! A word holds eight bytes, the first of them lowest. Marks are the high bits of
//! the bytes meant. Only the lowest mark can be relied on: a carry may set others
//! above it.

/// The bytes that `text` begins with, and zeros behind its end.
#[inline]
pub(super) fn word(text: &[u8]) -> u64 {
    text.first_chunk().map_or_else(|| short_word(text), |bytes| u64::from_le_bytes(*bytes))
}

#[cold]
#[inline(never)]
fn short_word(text: &[u8]) -> u64 {
    text.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte))
}

/// Eight times the same byte.
#[inline]
pub(super) const fn each(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// Marks every `byte`.
#[inline]
pub(super) const fn equal(word: u64, byte: u8) -> u64 {
    let zero = word ^ each(byte);
    zero.wrapping_sub(each(1)) & !zero & each(0x80)
}

/// Marks what is no decimal digit.
#[inline]
pub(super) const fn not_digits(word: u64) -> u64 {
    let digits = word ^ each(b'0');
    (digits.wrapping_add(each(0x80 - 10)) | digits) & each(0x80)
}

/// The first `count` bytes, at the end and with zeros before them. Useless
/// for a count of 0.
#[inline]
pub(super) const fn behind_zeros(word: u64, count: usize) -> u64 {
    word << ((64 - 8 * count) % 64)
}

/// Where the lowest mark is; 8 if there is none.
#[inline]
pub(super) const fn first(marks: u64) -> usize {
    marks.trailing_zeros() as usize / 8
}

/// Splits `text` before the first byte that `mark` marks.
#[inline]
pub(super) fn split(text: &[u8], mark: impl Fn(u64) -> u64) -> (&[u8], &[u8]) {
    let mut rest = text;
    while let Some((bytes, after)) = rest.split_first_chunk() {
        let marks = mark(u64::from_le_bytes(*bytes));
        if marks != 0 {
            return text.split_at(text.len() - rest.len() + first(marks));
        }
        rest = after;
    }
    let within = first(mark(short_word(rest))).min(rest.len());
    text.split_at(text.len() - rest.len() + within)
}

/// The decimal digits that `text` begins with, and what follows them.
#[inline]
pub(super) fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    let sure = text.first_chunk().map_or(0, |bytes| first(not_digits(u64::from_le_bytes(*bytes))));
    let more = text[sure..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    text.split_at(sure + more)
}

/// Whether a token that stood before `rest` is over.
#[inline]
pub(super) fn is_blank_or_end(rest: &[u8]) -> bool {
    matches!(rest.first(), None | Some(b' ' | b'\t'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_bytes_at_a_time_find_what_one_at_a_time_does() {
        for length in 0..=20 {
            for at in 0..=length {
                for (fill, found) in (0..=255).flat_map(|byte| [(byte, b'"'), (b'7', byte), (byte, b'7')]) {
                    let mut text = vec![fill; length];
                    text[at..].fill(found);
                    let quote = text.iter().position(|&byte| byte == b'"').unwrap_or(length);
                    let split = super::split(&text, |word| equal(word, b'"'));
                    assert_eq!(split, text.split_at(quote), "{text:?}");
                    let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
                    assert_eq!(digits(&text), text.split_at(count), "{text:?}");
                }
            }
        }
    }
}
