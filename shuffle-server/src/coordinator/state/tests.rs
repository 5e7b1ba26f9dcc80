use overhand_common::ids::WorkerId;

use super::*;

const LEASE: Duration = Duration::from_secs(60);
const TIMEOUT: Duration = Duration::from_secs(10);

/// A coordinator and a clock that the test moves.
struct Bench {
    state: State,
    start: Instant,
    at: Duration,
}

impl Bench {
    fn new() -> Self {
        let start = Instant::now();
        let state = State::new(Rules { lease: LEASE, worker_timeout: TIMEOUT }, start);
        Self { state, start, at: Duration::ZERO }
    }

    /// A coordinator that has been up for so long that leases expire.
    fn settled() -> Self {
        let mut bench = Self::new();
        bench.pass(LEASE * 2);
        bench
    }

    fn pass(&mut self, time: Duration) {
        self.at += time;
    }

    fn now(&self) -> Instant {
        self.start + self.at
    }

    fn report(&mut self, worker: u128, apps: &[&str]) -> Result<Vec<AppId>> {
        let apps = apps.iter().map(|name| app(name)).collect();
        self.state.heartbeat(report_of(Uuid::from_u128(worker), 1), apps, self.now())
    }
}

fn report_of(id: Uuid, incarnation: u64) -> Report {
    Report {
        id: WorkerId { id, incarnation },
        data_address: "127.0.0.1:1".into(),
        control_address: "127.0.0.1:2".into(),
        zone: String::new(),
        tags: vec![],
        memory_budget: 0,
        memory_used: 0,
        disk_free: 0,
        disk_used: 0,
        draining: false,
    }
}

fn app(name: &str) -> AppId {
    name.parse().expect("valid")
}

#[test]
fn an_application_lives_as_long_as_its_driver_keeps_the_lease() {
    let mut bench = Bench::settled();
    bench.state.register(&app("a"), "team", bench.now()).expect("new");
    for _ in 0..5 {
        bench.pass(LEASE - Duration::from_secs(1));
        assert_eq!(bench.report(1, &["a"]), Ok(vec![]));
        bench.state.keep_alive(&app("a"), "team", bench.now()).expect("live");
    }
    bench.pass(LEASE + Duration::from_secs(1));
    assert_eq!(bench.report(1, &["a"]), Ok(vec![app("a")]));
    assert_eq!(bench.state.keep_alive(&app("a"), "team", bench.now()).expect_err("over").kind(), ErrorKind::Stale);
}

#[test]
fn a_late_driver_is_forgiven_while_no_worker_was_told() {
    let mut bench = Bench::settled();
    bench.state.register(&app("a"), "", bench.now()).expect("new");
    bench.pass(LEASE * 3);
    bench.state.keep_alive(&app("a"), "", bench.now()).expect("nobody was told");
    assert_eq!(bench.report(1, &["a"]), Ok(vec![]));
}

#[test]
fn an_ended_application_is_deleted_by_every_worker_that_holds_it_and_then_forgotten() {
    let mut bench = Bench::settled();
    bench.state.register(&app("a"), "", bench.now()).expect("new");
    assert_eq!(bench.report(1, &["a"]), Ok(vec![]));
    assert_eq!(bench.report(2, &["a", "b"]), Ok(vec![]));
    bench.state.end(&app("a"), bench.now());
    bench.state.end(&app("a"), bench.now());
    assert!(bench.state.applications(bench.now()).iter().all(|known| known.app != app("a")));
    assert_eq!(bench.report(1, &["a"]), Ok(vec![app("a")]));
    assert_eq!(bench.report(2, &["a", "b"]), Ok(vec![app("a")]));
    assert_eq!(bench.state.register(&app("a"), "", bench.now()).expect_err("not yet").kind(), ErrorKind::Stale);
    assert_eq!(bench.report(1, &[]), Ok(vec![]));
    bench.pass(LEASE + Duration::from_secs(1));
    assert_eq!(bench.report(2, &["a"]), Ok(vec![app("a")]), "one that is slow is told again");
    assert_eq!(bench.report(2, &[]), Ok(vec![]));
    bench.state.register(&app("a"), "", bench.now()).expect("its data is gone everywhere");
}

#[test]
fn nothing_expires_before_the_coordinator_has_been_up_for_a_lease() {
    let mut bench = Bench::new();
    assert_eq!(bench.report(1, &["a"]), Ok(vec![]));
    bench.pass(LEASE);
    assert_eq!(bench.report(1, &["a", "b"]), Ok(vec![]));
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.report(1, &["a", "b"]), Ok(vec![app("a")]), "b was first seen a second ago");
}

#[test]
fn an_application_known_by_reports_only_gets_a_lease_of_its_own_when_first_seen() {
    let mut bench = Bench::settled();
    assert_eq!(bench.report(1, &["a"]), Ok(vec![]));
    bench.pass(LEASE);
    assert_eq!(bench.report(1, &["a"]), Ok(vec![]), "a report does not renew it, and it is not over yet");
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.report(1, &["a"]), Ok(vec![app("a")]));
}

#[test]
fn a_restarted_coordinator_takes_in_a_driver_that_it_does_not_know() {
    let mut bench = Bench::new();
    bench.state.keep_alive(&app("a"), "team", bench.now()).expect("taken in");
    let known = bench.state.applications(bench.now());
    assert_eq!(known, [Known { app: app("a"), tenant: "team".into(), lease: LEASE }]);
}

#[test]
fn a_silent_worker_is_given_nothing_new_and_later_forgotten() {
    let mut bench = Bench::settled();
    bench.report(1, &[]).expect("taken");
    bench.pass(TIMEOUT);
    assert_eq!(bench.state.workers(bench.now()).len(), 1);
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.state.workers(bench.now()).len(), 0);
    assert_eq!(bench.state.all_workers().len(), 1);
    bench.pass(LEASE * 2);
    bench.state.tidy(bench.now());
    assert_eq!(bench.state.all_workers().len(), 0);
}

#[test]
fn refuses_the_report_of_an_older_incarnation() {
    let mut bench = Bench::settled();
    let id = Uuid::from_u128(7);
    let report = |bench: &mut Bench, incarnation| {
        let now = bench.now();
        bench.state.heartbeat(report_of(id, incarnation), BTreeSet::new(), now)
    };
    report(&mut bench, 5).expect("first");
    report(&mut bench, 6).expect("newer");
    assert_eq!(report(&mut bench, 5).expect_err("older").kind(), ErrorKind::Stale);
    assert_eq!(bench.state.all_workers().len(), 1);
}

#[test]
fn an_ended_application_gets_no_new_token() {
    let mut bench = Bench::settled();
    bench.state.may_renew_token(&app("unknown-since-a-restart")).expect("its token is good");
    bench.state.end(&app("a"), bench.now());
    assert!(bench.state.may_renew_token(&app("a")).is_err());
}
