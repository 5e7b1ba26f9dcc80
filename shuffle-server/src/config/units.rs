//! Sizes and durations as people write them: always with a unit, and shown so that they read back as they were.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::PerTenant;

const SIZES: [(&str, u64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
const PERIODS: [(&str, u128); 3] = [("h", 3_600_000), ("min", 60_000), ("s", 1000)];

/// A number of bytes, as in `512 MiB` or `1.5 GB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl Size {
    /// This many MiB.
    pub const fn mib(count: u64) -> Self {
        Self(count << 20)
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let has_unit = text.ends_with(|last: char| last.is_ascii_alphabetic()) || text.trim() == "0";
        match text.parse::<bytesize::ByteSize>() {
            Ok(size) if has_unit => Ok(Self(size.as_u64())),
            _ => Err(format!("{text:?} is no size: write a number and a unit, as in \"512 MiB\"")),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = SIZES.into_iter().find(|(_, unit)| self.0 != 0 && self.0.is_multiple_of(*unit));
        match exact {
            Some((name, unit)) => write!(f, "{} {name}", self.0 / unit),
            None => write!(f, "{} B", self.0),
        }
    }
}

/// A duration, as in `500 ms`, `30 s` or `12 h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(pub Duration);

impl Period {
    /// This many seconds.
    pub const fn secs(count: u64) -> Self {
        Self(Duration::from_secs(count))
    }
}

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let dense: String = text.split_whitespace().collect();
        let parsed = humantime::parse_duration(&dense);
        parsed.map(Self).map_err(|_| format!("{text:?} is no duration: write a number and a unit, as in \"30 s\""))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        let exact = PERIODS.into_iter().find(|(_, unit)| millis != 0 && millis.is_multiple_of(*unit));
        match exact {
            Some((name, unit)) => write!(f, "{} {name}", millis / unit),
            None => write!(f, "{millis} ms"),
        }
    }
}

macro_rules! as_text {
    ($type:ty) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                // A bare number also lands here, as text: it has no unit, and is refused with the same words.
                let text = Text::deserialize(deserializer)?;
                text.0.parse().map_err(D::Error::custom)
            }
        }
    };
}

as_text!(Size);
as_text!(Period);
as_text!(PerTenant<u64>);
as_text!(PerTenant<Size>);

/// Anything that can be shown, as text.
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text with a number and a unit")
            }

            fn visit_str<E>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.to_owned()))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Text, E> {
                Ok(Text(number.to_string()))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Text, E> {
                Ok(Text(number.to_string()))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Text, E> {
                Ok(Text(number.to_string()))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_shown_reads_back_as_it_was(bytes in 0u64..1 << 50, shift in 0u32..30, millis in 0u64..1 << 40) {
            let size = Size(bytes >> shift << shift);
            prop_assert_eq!(size.to_string().parse(), Ok(size));
            let period = Period(Duration::from_millis(millis));
            prop_assert_eq!(period.to_string().parse(), Ok(period));
        }
    }

    #[test]
    fn units_are_needed_and_known() {
        assert_eq!("1.5 GiB".parse(), Ok(Size(3 << 29)));
        assert_eq!("512MiB".parse(), Ok(Size::mib(512)));
        assert_eq!("2 MB".parse(), Ok(Size(2_000_000)));
        assert_eq!("90 s".parse(), Ok(Period::secs(90)));
        assert_eq!("1 h 30 min".parse(), Ok(Period::secs(5400)));
        for bad in ["512", "512 MX", "", "much", "-1 MiB"] {
            assert!(bad.parse::<Size>().is_err(), "{bad:?}");
        }
        for bad in ["30", "30 x", "", "soon", "-1 s"] {
            assert!(bad.parse::<Period>().is_err(), "{bad:?}");
        }
    }
}
