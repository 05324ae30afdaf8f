//! The program that filters the output of `ss -tnp` on a node, for the awk of GNU, `mawk` and
//! that of `BusyBox`. Its output is what [`super::filtered`] reads.

/// The program, in single quotes for a shell, as part of a larger script.
macro_rules! program {
    () => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/capture/filter.awk"))
    };
}

pub(crate) use program;

/// The program in one line, without comments.
#[cfg(feature = "live")]
pub(crate) fn one_line() -> String {
    let lines = program!().lines().map(str::trim).filter(|line| !line.starts_with('#'));
    lines.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_program_can_be_quoted() {
        assert!(!program!().contains('\''));
    }
}
