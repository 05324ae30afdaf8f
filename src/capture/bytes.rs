//! Byte scanning, eight bytes at a time, in safe Rust (SWAR: SIMD within a register), so
//! that captures of a million rows are parsed quickly.
//!
//! A word holds eight bytes in little-endian order: the first byte of the text is the
//! lowest byte. A marker word has the high bit set in each byte that matches. Only the
//! lowest mark is reliable: a carry or borrow can set false marks above it.

/// Returns the first eight bytes of `text`, padded with zeros at the end.
#[inline]
pub(super) fn word(text: &[u8]) -> u64 {
    text.first_chunk().map_or_else(|| short_word(text), |bytes| u64::from_le_bytes(*bytes))
}

#[cold]
#[inline(never)]
fn short_word(text: &[u8]) -> u64 {
    text.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte))
}

/// Returns a word in which every byte is `byte`.
#[inline]
pub(super) const fn splat(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// Marks the bytes that are equal to `byte`.
#[inline]
pub(super) const fn equal(word: u64, byte: u8) -> u64 {
    let zero = word ^ splat(byte);
    zero.wrapping_sub(splat(1)) & !zero & splat(0x80)
}

/// Marks the bytes that are not decimal digits.
#[inline]
pub(super) const fn not_digits(word: u64) -> u64 {
    let digits = word ^ splat(b'0');
    (digits.wrapping_add(splat(0x80 - 10)) | digits) & splat(0x80)
}

/// Moves the first `count` bytes to the end of the word and fills the rest with zeros.
/// The result is meaningless for a count of 0.
#[inline]
pub(super) const fn pad_start(word: u64, count: usize) -> u64 {
    word << ((64 - 8 * count) % 64)
}

/// Returns the index of the first marked byte; 8 if no byte is marked.
#[inline]
pub(super) const fn first(marks: u64) -> usize {
    marks.trailing_zeros() as usize / 8
}

/// Splits `text` before the first byte that `mark` marks; at the end if it marks none.
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
    let index = first(mark(short_word(rest))).min(rest.len());
    text.split_at(text.len() - rest.len() + index)
}

/// Splits `text` after its leading decimal digits.
#[inline]
pub(super) fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    let in_word = text.first_chunk().map_or(0, |bytes| first(not_digits(u64::from_le_bytes(*bytes))));
    let more = text[in_word..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    text.split_at(in_word + more)
}

/// Whether `rest` begins with a blank or is empty, so that the token before it ends.
#[inline]
pub(super) fn is_blank_or_end(rest: &[u8]) -> bool {
    matches!(rest.first(), None | Some(b' ' | b'\t'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn word_scans_agree_with_byte_scans() {
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
