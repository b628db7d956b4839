//! Ages as people read them (`duration.HumanDuration` in Kubernetes `apimachinery/pkg/util/duration`).

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// Two or three significant figures of a duration.
#[must_use]
pub fn human(duration: SignedDuration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    // The smaller unit is left out where it is zero.
    let pair = |a: i64, unit: &str, b: i64, smaller: &str| if b == 0 { format!("{a}{unit}") } else { format!("{a}{unit}{b}{smaller}") };
    // A clock may be a second off.
    if seconds < -1 {
        "<invalid>".to_owned()
    } else if seconds < 0 {
        "0s".to_owned()
    } else if seconds < 120 {
        format!("{seconds}s")
    } else if minutes < 10 {
        pair(minutes, "m", seconds % 60, "s")
    } else if minutes < 180 {
        format!("{minutes}m")
    } else if hours < 8 {
        pair(hours, "h", minutes % 60, "m")
    } else if hours < 48 {
        format!("{hours}h")
    } else if hours < 192 {
        pair(days, "d", hours % 24, "h")
    } else if days < 365 * 2 {
        format!("{days}d")
    } else if days < 365 * 8 {
        pair(days / 365, "y", days % 365, "d")
    } else {
        format!("{}y", days / 365)
    }
}

/// A point in time of an object, if it has one.
pub(super) fn time(value: &Value) -> Option<Timestamp> {
    value.as_str().and_then(|text| text.parse().ok())
}

/// How long ago a point in time was.
pub(super) fn since(value: &Value, now: Timestamp) -> String {
    time(value).map_or_else(|| "<unknown>".to_owned(), |then| human(now.duration_since(then)))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const MINUTE: i64 = 60;
    const HOUR: i64 = 3600;
    const DAY: i64 = 86_400;

    #[rstest]
    #[case(-2, "<invalid>")]
    #[case(-1, "0s")]
    #[case(0, "0s")]
    #[case(59, "59s")]
    #[case(119, "119s")]
    #[case(2 * MINUTE, "2m")]
    #[case(2 * MINUTE + 5, "2m5s")]
    #[case(10 * MINUTE - 1, "9m59s")]
    #[case(10 * MINUTE + 5, "10m")]
    #[case(3 * HOUR - 1, "179m")]
    #[case(3 * HOUR, "3h")]
    #[case(3 * HOUR + 20 * MINUTE, "3h20m")]
    #[case(8 * HOUR + 20 * MINUTE, "8h")]
    #[case(2 * DAY - 1, "47h")]
    #[case(2 * DAY, "2d")]
    #[case(2 * DAY + 3 * HOUR, "2d3h")]
    #[case(8 * DAY + HOUR, "8d")]
    #[case(400 * DAY, "400d")]
    #[case(2 * 365 * DAY, "2y")]
    #[case(2 * 365 * DAY + DAY, "2y1d")]
    #[case(8 * 365 * DAY + DAY, "8y")]
    fn human_duration(#[case] seconds: i64, #[case] expected: &str) {
        assert_eq!(human(SignedDuration::from_secs(seconds)), expected);
    }
}
