use super::*;

const LOST_AFTER: Duration = Duration::from_secs(30);

fn worker(number: u128, incarnation: u64) -> Worker {
    let info = WorkerInfo {
        id: Uuid::from_u128(number).to_string(),
        incarnation,
        data_address: format!("w{number}:7338"),
        ..WorkerInfo::default()
    };
    Worker::read(info).expect("well-formed")
}

fn answer(workers: &[Worker]) -> Answer {
    Answer { workers: workers.to_vec(), ..Answer::default() }
}

#[test]
fn one_coordinator_that_sees_a_worker_is_enough_and_the_newest_incarnation_counts() {
    let now = Instant::now();
    let mut cluster = Cluster::new(LOST_AFTER);
    let draining = Worker { draining: true, ..worker(1, 2) };
    let old = Worker { draining: true, ..worker(2, 1) };
    let answers = [answer(&[worker(1, 2), old]), answer(&[draining, worker(2, 5), worker(3, 1)])];
    cluster.see(answers.iter(), now);
    assert_eq!(cluster.alive().count(), 3);
    let standing = |worker: Worker| cluster.standing(&worker.place.worker, now);
    assert_eq!(standing(worker(1, 2)), Standing::Draining);
    assert_eq!(standing(worker(2, 5)), Standing::Whole);
    assert_eq!(standing(worker(2, 1)), Standing::Restarted(worker(2, 5).place));
    assert_eq!(standing(worker(3, 1)), Standing::Whole);
    assert_eq!(standing(worker(4, 1)), Standing::Lost);
    cluster.see([answer(&[worker(2, 1)])].iter(), now);
    assert_eq!(cluster.get(worker(2, 1).id()), Some(&worker(2, 5)), "what lags behind changes nothing");
}

#[test]
fn a_worker_is_silent_before_it_is_lost_and_may_come_back() {
    let start = Instant::now();
    let mut cluster = Cluster::new(LOST_AFTER);
    let (one, two) = (worker(1, 1), worker(2, 1));
    cluster.see([answer(&[one.clone(), two.clone()])].iter(), start);
    cluster.see([answer(std::slice::from_ref(&one))].iter(), start);
    let at = |seconds| start + Duration::from_secs(seconds);
    assert_eq!(cluster.next_loss(start), Some(at(30)));
    assert_eq!(cluster.standing(&two.place.worker, at(29)), Standing::Silent);
    assert_eq!(cluster.silent(at(29)).count(), 1);
    assert_eq!(cluster.standing(&two.place.worker, at(30)), Standing::Lost);
    assert_eq!(cluster.silent(at(30)).count(), 0);
    cluster.see([answer(&[one, two.clone()])].iter(), at(31));
    assert_eq!(cluster.standing(&two.place.worker, at(31)), Standing::Whole);
}

#[test]
fn without_a_coordinator_nobody_is_lost_and_its_return_starts_the_wait_anew() {
    let start = Instant::now();
    let mut cluster = Cluster::new(LOST_AFTER);
    let one = worker(1, 1);
    cluster.see([answer(std::slice::from_ref(&one))].iter(), start);
    cluster.see([answer(&[])].iter(), start);
    cluster.see([].iter(), start);
    let at = |seconds| start + Duration::from_secs(seconds);
    assert_eq!(cluster.standing(&one.place.worker, at(3000)), Standing::Silent);
    assert_eq!(cluster.next_loss(at(3000)), None);
    cluster.see([answer(&[])].iter(), at(3000));
    assert_eq!(cluster.standing(&one.place.worker, at(3029)), Standing::Silent);
    assert_eq!(cluster.standing(&one.place.worker, at(3030)), Standing::Lost);
}

#[test]
fn replicas_and_quota_come_from_whoever_says_so() {
    let mut cluster = Cluster::new(LOST_AFTER);
    let over = Answer { over_quota: "too much".into(), replicas: 2, ..Answer::default() };
    cluster.see([Answer::default(), over].iter(), Instant::now());
    assert_eq!((cluster.replicas(), cluster.over_quota()), (2, "too much"));
    cluster.see([Answer::default()].iter(), Instant::now());
    assert_eq!((cluster.replicas(), cluster.over_quota()), (1, ""));
}

#[test]
fn a_worker_of_no_good_id_is_left_out() {
    assert_eq!(Worker::read(WorkerInfo { id: "seven".into(), ..WorkerInfo::default() }), None);
    assert_eq!(host_of("[::1]:7338"), "[::1]");
}
