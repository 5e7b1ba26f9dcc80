//! What a tenant may have at most.

use std::collections::BTreeMap;

use overhand_common::ids::AppId;

/// The tenant that stands for every one that is not named.
pub const EVERYBODY: &str = "*";

/// The quotas of all tenants. A tenant that is not named has that of [`EVERYBODY`], each for itself; without that one it
/// has none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Quotas {
    /// Applications that run at once.
    pub applications: BTreeMap<String, u64>,
    /// Bytes on all workers together: each replica counts.
    pub bytes: BTreeMap<String, u64>,
}

/// How many applications are named in a refusal.
const NAMED: usize = 5;

impl Quotas {
    /// Why one more application of this tenant is too many while these run; `None` if it is not.
    pub fn refuse_application(&self, tenant: &str, running: &[&AppId]) -> Option<String> {
        let limit = limit(&self.applications, tenant)?;
        if (running.len() as u64) < limit {
            return None;
        }
        let mut names: Vec<&str> = running.iter().take(NAMED).map(|app| app.as_str()).collect();
        if running.len() > NAMED {
            names.push("and more");
        }
        Some(format!(
            "tenant {tenant:?} may run {limit} application(s) at once and {} run ({}): wait until one ends, or have \
             quotas.applications raised on the coordinators",
            running.len(),
            names.join(", ")
        ))
    }

    /// Why this tenant, which holds `held` bytes, is over its quota; `None` if it is not.
    pub fn over_bytes(&self, tenant: &str, held: u64) -> Option<String> {
        let limit = limit(&self.bytes, tenant).filter(|limit| held >= *limit)?;
        Some(format!(
            "tenant {tenant:?} holds {held} bytes on the workers (each replica counts) and may hold {limit}: no new \
             shuffles until some of it is gone; end an application, or have quotas.bytes raised on the coordinators"
        ))
    }
}

fn limit(limits: &BTreeMap<String, u64>, tenant: &str) -> Option<u64> {
    limits.get(tenant).or_else(|| limits.get(EVERYBODY)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quotas() -> Quotas {
        Quotas {
            applications: [("etl".to_owned(), 2), ("*".to_owned(), 1)].into(),
            bytes: [("etl".to_owned(), 1000)].into(),
        }
    }

    fn apps(count: usize) -> Vec<AppId> {
        (0..count).map(|at| format!("app-{at}").parse().expect("valid")).collect()
    }

    #[test]
    fn a_tenant_that_is_not_named_has_everybodys_quota_if_there_is_one() {
        let (none, one) = (apps(0), apps(1));
        let (none, one): (Vec<_>, Vec<_>) = (none.iter().collect(), one.iter().collect());
        assert_eq!(quotas().refuse_application("etl", &one), None);
        assert_eq!(quotas().refuse_application("other", &none), None);
        assert!(quotas().refuse_application("other", &one).is_some());
        assert_eq!(quotas().over_bytes("other", u64::MAX), None);
        assert_eq!(Quotas::default().refuse_application("other", &one), None);
    }

    #[test]
    fn a_refusal_names_the_tenant_the_limit_what_runs_and_what_to_do() {
        let many = apps(7);
        let text = quotas().refuse_application("etl", &many.iter().collect::<Vec<_>>()).expect("over");
        for part in ["\"etl\"", "2 application", "7 run", "app-0", "and more", "wait until one ends"] {
            assert!(text.contains(part), "{part:?} is not in {text}");
        }
        assert_eq!(quotas().over_bytes("etl", 999), None);
        let text = quotas().over_bytes("etl", 1000).expect("full");
        for part in ["\"etl\"", "holds 1000 bytes", "may hold 1000", "replica", "quotas.bytes"] {
            assert!(text.contains(part), "{part:?} is not in {text}");
        }
    }
}
