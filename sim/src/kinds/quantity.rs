//! `resource.Quantity` (`apimachinery/pkg/api/resource/quantity.go`): numbers with decimal, binary or exponent suffixes.

/// The largest integral value; larger ones are this one.
const CAP: i128 = i64::MAX as i128;
const NANO: i128 = 1_000_000_000;
const BINARY: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
const DECIMAL: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];

/// `ErrFormatWrong`.
const FORMAT: &str = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
/// `ErrNumeric`.
const NUMERIC: &str = "unable to parse numeric part of quantity";
/// `ErrSuffix`.
const SUFFIX: &str = "unable to parse quantity's suffix";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Decimal,
    Binary,
    Exponent,
}

#[derive(Debug, Clone, Copy)]
struct Quantity {
    nano: i128,
    format: Format,
}

enum Unit {
    Ten(i32),
    Two(u32),
}

fn unit(suffix: &str) -> Option<(Unit, Format)> {
    if let Some((_, power)) = DECIMAL.iter().find(|(s, _)| *s == suffix) {
        return Some((Unit::Ten(*power), Format::Decimal));
    }
    if let Some(step) = BINARY.iter().position(|s| *s == suffix) {
        return Some((Unit::Two(10 * (u32::try_from(step).unwrap_or_default() + 1)), Format::Binary));
    }
    let exponent = suffix.strip_prefix(['e', 'E'])?;
    Some((Unit::Ten(exponent.parse().ok()?), Format::Exponent))
}

/// Splits off sign, integral digits, fractional digits and suffix.
fn split(text: &str) -> Result<(bool, &str, &str, &str), &'static str> {
    let negative = text.starts_with('-');
    let rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    let digits = |s: &str| s.bytes().take_while(u8::is_ascii_digit).count();
    let (whole, rest) = rest.split_at(digits(rest));
    let (fraction, suffix) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(digits(rest)),
        None => ("", rest),
    };
    let letters = suffix.bytes().take_while(|b| b"eEinumkKMGTP".contains(b)).count();
    let exponent = suffix[letters..].strip_prefix(['+', '-']).unwrap_or(&suffix[letters..]);
    if text.is_empty() || digits(exponent) != exponent.len() {
        return Err(FORMAT);
    }
    Ok((negative, whole, fraction, suffix))
}

/// Saturating at [`CAP`].
fn whole_number(digits: impl Iterator<Item = u8>) -> i128 {
    digits.fold(0, |sum: i128, d| (sum * 10 + i128::from(d - b'0')).min(CAP))
}

/// The value in billionths, rounded away from zero.
fn nano(whole: &str, fraction: &str, unit: &Unit) -> i128 {
    let amount = match *unit {
        Unit::Ten(power) => {
            // Moving the point is exact; what is left of it after nine places rounds up.
            let power = i64::from(power).clamp(-40, 40);
            let point = i64::try_from(whole.len()).unwrap_or(i64::MAX) + power;
            let at = |index: i64| usize::try_from(index).ok().and_then(|i| whole.bytes().chain(fraction.bytes()).nth(i)).unwrap_or(b'0');
            let integral = whole_number((0..point).map(at));
            let places = whole_number((point..point + 9).map(at));
            let all = whole.bytes().chain(fraction.bytes()).enumerate();
            let rest = all.skip_while(|(i, _)| i64::try_from(*i).is_ok_and(|i| i < point + 9)).any(|(_, d)| d != b'0');
            integral * NANO + places + i128::from(rest)
        }
        Unit::Two(power) => {
            let factor = 1_i128 << power;
            let integral = (whole_number(whole.bytes()) * factor).min(CAP);
            // Eighteen places of a fraction, and whether there is more.
            let places = whole_number(fraction.bytes().chain(std::iter::repeat(b'0')).take(18));
            let rest = fraction.bytes().skip(18).any(|d| d != b'0');
            let scaled = places * factor;
            let up = i128::from(scaled % NANO != 0 || rest);
            integral * NANO + scaled / NANO + up
        }
    };
    amount.min(CAP * NANO)
}

fn parse(text: &str) -> Result<Quantity, &'static str> {
    let (negative, whole, fraction, suffix) = split(text)?;
    let (unit, mut format) = unit(suffix).ok_or(SUFFIX)?;
    if whole.is_empty() && fraction.is_empty() {
        return Err(NUMERIC);
    }
    let nano = nano(whole, fraction, &unit);
    if format == Format::Binary && nano < NANO {
        format = Format::Decimal;
    }
    Ok(Quantity { nano: if negative { -nano } else { nano }, format })
}

/// A quantity in thousandths, rounded away from zero; `None` if it is not one.
#[must_use]
pub fn quantity(text: &str) -> Option<i128> {
    let nano = parse(text).ok()?.nano;
    Some(nano / 1_000_000 + if nano % 1_000_000 == 0 { 0 } else { nano.signum() })
}

/// A quantity as the server writes it: `0.5` is `500m`, `1024Mi` is `1Gi`; or what upstream says is wrong with it.
///
/// # Errors
/// One of the three sentences that `ParseQuantity` has.
pub fn canonical(text: &str) -> Result<String, &'static str> {
    let Quantity { nano, format } = parse(text)?;
    if nano == 0 {
        return Ok("0".to_owned());
    }
    if format == Format::Binary && nano.abs() >= 1024 * NANO && nano % NANO == 0 {
        let (mut number, mut step) = (nano / NANO, 0);
        while number % 1024 == 0 && step < BINARY.len() {
            number /= 1024;
            step += 1;
        }
        return Ok(format!("{number}{}", if step == 0 { "" } else { BINARY[step - 1] }));
    }
    let (mut number, mut power) = (nano, -9);
    while number % 1000 == 0 && power < 18 {
        number /= 1000;
        power += 3;
    }
    if format == Format::Exponent {
        return Ok(if power == 0 { number.to_string() } else { format!("{number}e{power}") });
    }
    let suffix = DECIMAL.iter().find(|(_, p)| *p == power).map_or("", |(s, _)| s);
    Ok(format!("{number}{suffix}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::{canonical, quantity};

    #[rstest]
    #[case("0", Some(0), "0")]
    #[case("1", Some(1000), "1")]
    #[case("100m", Some(100), "100m")]
    #[case("0.1", Some(100), "100m")]
    #[case("1000m", Some(1000), "1")]
    #[case("1.5", Some(1500), "1500m")]
    #[case(".5", Some(500), "500m")]
    #[case("1.", Some(1000), "1")]
    #[case("+2", Some(2000), "2")]
    #[case("-3", Some(-3000), "-3")]
    #[case("1k", Some(1_000_000), "1k")]
    #[case("1500", Some(1_500_000), "1500")]
    #[case("2000", Some(2_000_000), "2k")]
    #[case("128Mi", Some(134_217_728_000), "128Mi")]
    #[case("1024Mi", Some(1_073_741_824_000), "1Gi")]
    #[case("1.5Gi", Some(1_610_612_736_000), "1536Mi")]
    #[case("0.5Ki", Some(512_000), "512")]
    #[case("1e3", Some(1_000_000), "1e3")]
    #[case("1E3", Some(1_000_000), "1e3")]
    #[case("5e-1", Some(500), "500e-3")]
    #[case("1E", Some(1_000_000_000_000_000_000_000), "1E")]
    #[case("1n", Some(1), "1n")]
    #[case("1500u", Some(2), "1500u")]
    #[case("0.0000000001", Some(1), "1n")]
    #[case("100E", Some(9_223_372_036_854_775_807_000), "9223372036854775807")]
    #[case("129e6", Some(129_000_000_000), "129e6")]
    fn parses(#[case] text: &str, #[case] milli: Option<i128>, #[case] written: &str) {
        assert_eq!(quantity(text), milli);
        assert_eq!(canonical(text), Ok(written.to_owned()));
    }

    #[rstest]
    #[case("", "regular")]
    #[case("one", "regular")]
    #[case("1X", "regular")]
    #[case("1 Gi", "regular")]
    #[case("1.2.3", "regular")]
    #[case("1,5", "regular")]
    #[case("1mm", "suffix")]
    #[case("1gi", "regular")]
    #[case("1i", "suffix")]
    #[case("1KiB", "regular")]
    #[case("m", "numeric")]
    #[case("1e", "suffix")]
    #[case("-", "numeric")]
    fn refuses(#[case] text: &str, #[case] why: &str) {
        assert_eq!(quantity(text), None);
        assert!(canonical(text).is_err_and(|e| e.contains(why)), "{text}: {:?}", canonical(text));
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "\\PC*") {
            let _ = quantity(&text);
            let _ = canonical(&text);
        }

        #[test]
        fn the_canonical_form_means_the_same(whole in 0_u64..10_000_000, fraction in 0_u32..1000, suffix in "(m|u|k|M|G|Ki|Mi|Gi|e2|e-2)?") {
            let text = format!("{whole}.{fraction:03}{suffix}");
            let written = canonical(&text).unwrap();
            prop_assert_eq!(quantity(&written), quantity(&text), "{}", &written);
            prop_assert_eq!(canonical(&written).unwrap(), written);
        }

        #[test]
        fn binary_suffixes_are_powers_of_1024(number in 0_i128..1_000_000) {
            prop_assert_eq!(quantity(&format!("{number}Ki")), Some(number * 1024 * 1000));
            prop_assert_eq!(quantity(&format!("{number}Gi")), Some(number * 1024 * 1024 * 1024 * 1000));
        }
    }
}
