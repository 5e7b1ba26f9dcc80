use overhand_common::ids::WorkerId;

use super::{super::Held, *};

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
        Self { state: State::new(rules(Quotas::default()), start), start, at: Duration::ZERO }
    }

    /// The same with quotas.
    fn with_quotas(quotas: Quotas) -> Self {
        let mut bench = Self::new();
        bench.state = State::new(rules(quotas), bench.start);
        bench
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

    /// A worker that holds these reports: what it is told.
    fn report(&mut self, worker: u128, apps: &[&str]) -> Leaving {
        let apps = apps.iter().map(|name| app(name)).collect();
        self.report_all(worker, Holdings { apps, ..Holdings::default() })
    }

    fn report_all(&mut self, worker: u128, holdings: Holdings) -> Leaving {
        let now = self.now();
        self.state.heartbeat(report_of(Uuid::from_u128(worker), 1), holdings, now).expect("taken")
    }

    fn live(&self) -> Vec<String> {
        let known = self.state.applications(self.now()).into_iter();
        known.filter(|known| matches!(known.phase, Phase::Live(_))).map(|known| known.app.into()).collect()
    }
}

fn rules(quotas: Quotas) -> Rules {
    Rules { lease: LEASE, worker_timeout: TIMEOUT, quotas }
}

fn nothing() -> Leaving {
    Leaving::default()
}

fn expired(name: &str) -> Leaving {
    Leaving { expired: vec![app(name)], ..Leaving::default() }
}

fn ended(name: &str) -> Leaving {
    Leaving { ended: vec![app(name)], ..Leaving::default() }
}

fn report_of(id: Uuid, incarnation: u64) -> Report {
    Report {
        id: WorkerId { id, incarnation },
        data_address: "127.0.0.1:1".into(),
        control_address: "127.0.0.1:2".into(),
        host: String::new(),
        zone: String::new(),
        tags: vec![],
        memory_budget: 0,
        memory_used: 0,
        disk_free: 0,
        disk_used: 0,
        draining: false,
        disks_lost: 0,
        start: 0,
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
        assert_eq!(bench.report(1, &["a"]), nothing());
        bench.state.keep_alive(&app("a"), "team", None, bench.now()).expect("live");
    }
    bench.pass(LEASE + Duration::from_secs(1));
    assert_eq!(bench.report(1, &["a"]), expired("a"));
}

#[test]
fn a_driver_that_is_late_is_taken_back_as_long_as_no_worker_deletes() {
    let mut bench = Bench::settled();
    bench.state.register(&app("a"), "", bench.now()).expect("new");
    bench.pass(LEASE * 3);
    assert_eq!(bench.report(1, &["a"]), expired("a"));
    bench.state.keep_alive(&app("a"), "", None, bench.now()).expect("another coordinator may have heard of it");
    assert_eq!(bench.report(1, &["a"]), nothing());
    bench.pass(LEASE * 2);
    assert_eq!(bench.report(1, &["a"]), expired("a"));
    let deleted = Holdings { apps: [app("a")].into(), deleted: vec![app("a")], ..Holdings::default() };
    assert_eq!(bench.report_all(1, deleted), expired("a"));
    for _ in 0..2 {
        let error = bench.state.keep_alive(&app("a"), "", None, bench.now()).expect_err("too late");
        assert_eq!(error.kind(), ErrorKind::Stale);
        assert!(bench.state.may_renew_token(&app("a")).is_err());
        assert_eq!(
            bench.report(2, &["a"]),
            expired("a"),
            "one that ended by nobody's word is no reason to delete alone"
        );
    }
}

#[test]
fn an_ended_application_is_deleted_by_every_worker_that_holds_it_and_then_forgotten() {
    let mut bench = Bench::settled();
    bench.state.register(&app("a"), "", bench.now()).expect("new");
    assert_eq!(bench.report(1, &["a"]), nothing());
    assert_eq!(bench.report(2, &["a", "b"]), nothing());
    bench.state.end(&app("a"), bench.now());
    bench.state.end(&app("a"), bench.now());
    assert_eq!(bench.live(), ["b"]);
    assert_eq!(bench.report(1, &["a"]), ended("a"));
    assert_eq!(bench.report(2, &["a", "b"]), ended("a"));
    assert_eq!(bench.state.register(&app("a"), "", bench.now()).expect_err("not yet").kind(), ErrorKind::Stale);
    assert_eq!(bench.report(1, &[]), nothing());
    bench.pass(LEASE + Duration::from_secs(1));
    assert_eq!(bench.report(2, &["a"]), ended("a"), "one that is slow is told again");
    assert_eq!(bench.report(2, &[]), nothing());
    bench.state.register(&app("a"), "", bench.now()).expect("its data is gone everywhere");
}

#[test]
fn the_drivers_word_goes_before_an_expired_lease() {
    let mut bench = Bench::settled();
    assert_eq!(bench.report(1, &["a"]), nothing());
    bench.pass(LEASE * 2);
    assert_eq!(bench.report(1, &["a"]), expired("a"));
    bench.state.end(&app("a"), bench.now());
    assert_eq!(bench.report(1, &["a"]), ended("a"));
}

#[test]
fn nothing_expires_before_the_coordinator_has_been_up_for_a_lease() {
    let mut bench = Bench::new();
    assert_eq!(bench.report(1, &["a"]), nothing());
    bench.pass(LEASE);
    assert_eq!(bench.report(1, &["a", "b"]), nothing());
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.report(1, &["a", "b"]), expired("a"), "b was first seen a second ago");
}

#[test]
fn an_application_known_by_reports_only_gets_a_lease_of_its_own_when_first_seen() {
    let mut bench = Bench::settled();
    assert_eq!(bench.report(1, &["a"]), nothing());
    bench.pass(LEASE);
    assert_eq!(bench.report(1, &["a"]), nothing(), "a report does not renew it, and it is not over yet");
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.report(1, &["a"]), expired("a"));
}

#[test]
fn a_restarted_coordinator_takes_in_a_driver_that_it_does_not_know() {
    let mut bench = Bench::new();
    bench.state.keep_alive(&app("a"), "team", None, bench.now()).expect("taken in");
    let known = bench.state.applications(bench.now());
    assert_eq!((known[0].tenant.as_str(), known[0].lease, known[0].unheard), ("team", LEASE, Some(Duration::ZERO)));
}

#[test]
fn a_silent_worker_is_given_nothing_new_and_what_it_held_is_remembered_for_a_while() {
    let mut bench = Bench::settled();
    bench.report_all(1, holding(&[("a", 70), ("b", 7)]));
    bench.pass(TIMEOUT);
    assert_eq!(bench.state.workers(&app("a"), bench.now()).len(), 1);
    bench.state.tidy(bench.now());
    bench.state.events();
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.state.workers(&app("a"), bench.now()).len(), 0);
    bench.state.tidy(bench.now());
    let known = bench.state.all_workers().remove(0);
    assert!(known.silent && known.holdings.usage.len() == 2);
    assert_eq!(bench.state.events(), [Event::Silent(known.report.id, 77)]);
    bench.pass(LEASE * REMEMBERED);
    bench.state.tidy(bench.now());
    assert_eq!(bench.state.all_workers().len(), 0);
}

#[test]
fn refuses_the_report_of_an_older_incarnation() {
    let mut bench = Bench::settled();
    let id = Uuid::from_u128(7);
    let report = |bench: &mut Bench, incarnation| {
        let now = bench.now();
        bench.state.heartbeat(report_of(id, incarnation), Holdings::default(), now)
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

fn holding(usage: &[(&str, u64)]) -> Holdings {
    let usage = usage.iter().map(|(name, bytes)| (app(name), Held { bytes: *bytes, shuffles: 1 }));
    let usage: BTreeMap<AppId, Held> = usage.collect();
    Holdings { apps: usage.keys().cloned().collect(), usage, ..Holdings::default() }
}

#[test]
fn one_application_more_than_a_tenant_may_run_is_refused_until_one_ends() {
    let quotas = Quotas { applications: [("team".to_owned(), 1)].into(), ..Quotas::default() };
    let mut bench = Bench::with_quotas(quotas);
    bench.state.register(&app("a"), "team", bench.now()).expect("the first");
    bench.state.register(&app("a"), "team", bench.now()).expect("the same again");
    bench.state.register(&app("other"), "others", bench.now()).expect("another tenant's");
    let error = bench.state.register(&app("b"), "team", bench.now()).expect_err("one too many");
    assert!(error.kind() == ErrorKind::Backpressure && error.message().contains("\"team\""), "{error}");
    bench.state.keep_alive(&app("c"), "team", None, bench.now()).expect("it ran before this coordinator was started");
    bench.state.end(&app("a"), bench.now());
    assert!(bench.state.register(&app("b"), "team", bench.now()).is_err(), "c runs");
    bench.state.end(&app("c"), bench.now());
    bench.state.register(&app("b"), "team", bench.now()).expect("there is room");
}

#[test]
fn what_a_tenant_holds_is_summed_over_workers_and_its_applications_that_have_not_ended() {
    let quotas = Quotas { bytes: [("team".to_owned(), 100)].into(), ..Quotas::default() };
    let mut bench = Bench::with_quotas(quotas);
    for (name, tenant) in [("a", "team"), ("b", "team"), ("other", "others")] {
        bench.state.register(&app(name), tenant, bench.now()).expect("new");
    }
    bench.report_all(1, holding(&[("a", 40), ("other", 1000)]));
    assert_eq!(bench.state.over_quota("team"), None);
    bench.report_all(2, holding(&[("a", 40), ("b", 20)]));
    assert!(bench.state.over_quota("team").is_some_and(|text| text.contains("100 bytes")));
    assert_eq!(bench.state.over_quota("others"), None);
    bench.state.end(&app("b"), bench.now());
    assert_eq!(bench.state.over_quota("team"), None);
}

#[test]
fn a_worker_is_found_by_its_id_its_beginning_and_its_addresses() {
    let mut bench = Bench::new();
    let (one, two) = (Uuid::from_u128(0xaa << 120 | 1), Uuid::from_u128(0xab << 120 | 2));
    for (id, port) in [(one, 1), (two, 3)] {
        let mut report = report_of(id, 1);
        report.data_address = format!("host:{port}");
        report.control_address = format!("host:{}", port + 1);
        bench.state.heartbeat(report, Holdings::default(), bench.now()).expect("taken");
    }
    for text in [one.to_string().as_str(), "aa", "host:1", "host:2"] {
        assert_eq!(bench.state.find_worker(text).expect("found").id.id, one, "{text}");
    }
    let error = bench.state.find_worker("a").expect_err("both");
    assert!(error.kind() == ErrorKind::Invalid && error.message().contains(&two.to_string()), "{error}");
    for text in ["", "host", "zz"] {
        let error = bench.state.find_worker(text).expect_err("none");
        assert!(error.kind() == ErrorKind::NotFound && error.message().contains("host:3"), "{error}");
    }
}

#[test]
fn what_a_driver_says_is_told_as_it_changes_and_not_what_was_before_a_restart() {
    let mut bench = Bench::new();
    let broken = |count| Wellbeing { chains_broken: count, ..Wellbeing::default() };
    bench.state.register(&app("a"), "", bench.now()).expect("new");
    bench.state.keep_alive(&app("old"), "", Some(broken(5)), bench.now()).expect("taken in");
    assert_eq!(bench.state.events(), [Event::Registered(app("a"))]);
    bench.state.keep_alive(&app("a"), "", Some(broken(1)), bench.now()).expect("live");
    bench.state.keep_alive(&app("a"), "", Some(broken(1)), bench.now()).expect("live");
    bench.state.keep_alive(&app("old"), "", Some(broken(6)), bench.now()).expect("live");
    let fares = |name, before, now| Event::Fares(app(name), broken(before), broken(now));
    assert_eq!(bench.state.events(), [fares("a", 0, 1), fares("old", 5, 6)]);
}
