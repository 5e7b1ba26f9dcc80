//! A number for each tenant, as in `etl=20`.

use std::{fmt, str::FromStr};

/// What one tenant may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PerTenant<T> {
    /// Its name; `*` is every tenant that is not named.
    pub tenant: String,
    /// How much.
    pub limit: T,
}

impl<T: FromStr> FromStr for PerTenant<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no tenant with its limit: write them as in \"etl=20\" or \"etl=2 TiB\"");
        let (tenant, limit) = text.rsplit_once('=').ok_or_else(wrong)?;
        let limit = limit.trim().parse().map_err(|_| wrong())?;
        Ok(Self { tenant: tenant.trim().to_owned(), limit })
    }
}

impl<T: fmt::Display> fmt::Display for PerTenant<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.tenant, self.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Size, *};

    #[test]
    fn a_limit_reads_back_as_it_was_and_anything_else_is_refused() {
        let limit: PerTenant<u64> = " etl = 20".parse().expect("right");
        assert_eq!((limit.tenant.as_str(), limit.limit, limit.to_string()), ("etl", 20, "etl=20".to_owned()));
        let limit: PerTenant<Size> = "*=2 TiB".parse().expect("right");
        assert_eq!((limit.limit, limit.to_string()), (Size(2 << 40), "*=2 TiB".to_owned()));
        for bad in ["", "etl", "etl=", "etl=many", "=x"] {
            assert!(bad.parse::<PerTenant<u64>>().is_err(), "{bad:?}");
        }
        assert!("etl=5".parse::<PerTenant<Size>>().is_err(), "bytes have a unit");
    }
}
