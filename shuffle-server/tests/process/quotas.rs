//! Tenants get what they may have, and are told clearly when that is all.

use crate::common::{Cluster, eventually};

#[test]
fn one_application_too_many_is_refused_until_one_ends() {
    let cluster = Cluster::start(1, 1, &["quotas.applications=team=1,*=2"]);
    let coordinator = &cluster.coordinators[0];
    let (token, _) = coordinator.register_for("first", "team").expect("the first");
    let refused = coordinator.register_for("second", "team").expect_err("one too many");
    assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
    for part in ["\"team\"", "1 application", "first", "wait until one ends"] {
        assert!(refused.message().contains(part), "{part:?} is not in {}", refused.message());
    }
    for name in ["x", "y"] {
        coordinator.register_for(name, "others").expect("others have quotas of their own");
    }
    coordinator.register_for("z", "others").expect_err("one too many of theirs");
    let metrics = coordinator.admin("/metrics").1;
    assert!(metrics.contains("overhand_coordinator_quota_refusals_total{quota=\"applications\"} 2"), "{metrics}");
    coordinator.end(&token);
    coordinator.register_for("second", "team").expect("there is room");
}

#[test]
fn a_tenant_that_holds_too_much_is_told_so_until_some_of_it_is_gone() {
    let cluster = Cluster::start(2, 2, &["quotas.bytes=team=15 KiB"]);
    let coordinator = &cluster.coordinators[1];
    let (token, over) = coordinator.register_for("app", "team").expect("registered");
    assert_eq!(over, "");
    let over_quota = || coordinator.keep_alive_with(&token, Default::default()).expect("live").over_quota;
    cluster.push(0, &token);
    eventually("10 KB are known", || {
        let status = coordinator.status();
        let workers = status["workers"].as_array().expect("workers").clone();
        workers.iter().any(|worker| worker["usage"][0]["bytes"].as_u64().is_some_and(|bytes| bytes > 10_000))
    });
    assert_eq!(over_quota(), "");
    cluster.push(1, &token);
    eventually("the second replica counts", || !over_quota().is_empty());
    let text = over_quota();
    for part in ["\"team\"", "15360", "replica", "quotas.bytes"] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    let (_, over) = coordinator.register_for("app-2", "team").expect("it may run");
    assert_eq!(over, text, "a new application hears it too");
    let (other, over) = coordinator.register_for("other", "others").expect("registered");
    assert_eq!(
        (over.as_str(), coordinator.keep_alive_with(&other, Default::default()).expect("live").over_quota),
        ("", String::new())
    );
    cluster.workers[1].connect_with(&token).remove(1).expect("removed");
    eventually("there is room again", || over_quota().is_empty());
}
