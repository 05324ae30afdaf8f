//! Durations on the command line: `500ms`, `30s`, `5m`, `1h30m`, or a number of seconds.

use std::ops::RangeInclusive;
use std::time::Duration;

use jiff::SignedDuration;

/// What options of a duration accept: a duration in bounds.
pub(super) fn duration(
    bounds: RangeInclusive<Duration>,
) -> impl Fn(&str) -> Result<Duration, String> + Clone + Send + Sync + 'static {
    move |text| {
        let duration = parse(text)?;
        if duration < *bounds.start() {
            return Err(format!("the minimum is {}", shown(*bounds.start())));
        }
        if duration > *bounds.end() {
            return Err(format!("the maximum is {}", shown(*bounds.end())));
        }
        Ok(duration)
    }
}

fn parse(text: &str) -> Result<Duration, String> {
    let wrong =
        || "expected a duration, such as 500ms, 30s, 5m or 1h30m; a number alone is in seconds".to_owned();
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number that is too large is above every maximum.
        return Ok(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let duration: SignedDuration = text.parse().map_err(|_| wrong())?;
    Duration::try_from(duration).map_err(|_| wrong())
}

/// A bound, in its largest whole unit.
fn shown(duration: Duration) -> String {
    let units = [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
    let millis = duration.as_millis();
    let unit = units.iter().find(|(_, unit)| millis >= *unit && millis.is_multiple_of(*unit));
    unit.map_or_else(|| "0s".to_owned(), |(name, unit)| format!("{}{name}", millis / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units_or_are_in_seconds() {
        let parse = duration(Duration::ZERO..=Duration::from_hours(2));
        for (text, seconds) in [
            ("30", 30.0),
            ("0", 0.0),
            ("30s", 30.0),
            ("500ms", 0.5),
            ("1.5s", 1.5),
            ("5m", 300.0),
            ("1h30m", 5400.0),
            ("1h 30m", 5400.0),
            ("1 minute", 60.0),
            (" 5m ", 300.0),
            ("PT1M", 60.0),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_secs_f64(seconds)), "{text}");
        }
        for text in ["", " ", "m", "5x", "-5m", "-1", "5m ago", "1.5", "\u{b5}", "٣", "1d", "1e3", "+5"] {
            let error = parse(text).expect_err(text);
            assert!(error.contains("expected a duration"), "{text}: {error}");
        }
        for text in ["3h", "7201", "18446744073709551616", "9999999999999999999h"] {
            let error = parse(text).expect_err(text);
            assert!(error.contains("the maximum is 2h") || error.contains("expected"), "{text}: {error}");
        }
    }

    #[test]
    fn bounds_are_shown_in_their_largest_unit() {
        let bounds = Duration::from_millis(20)..=Duration::from_mins(90);
        assert_eq!(duration(bounds.clone())("19ms"), Err("the minimum is 20ms".to_owned()));
        assert_eq!(duration(bounds)("91m"), Err("the maximum is 90m".to_owned()));
        assert_eq!(shown(Duration::from_secs(1)), "1s");
        assert_eq!(shown(Duration::ZERO), "0s");
    }
}
