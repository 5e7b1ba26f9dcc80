use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use overhand_proto::v1::WorkerInfo;
use proptest::prelude::*;

use super::*;
use crate::application::cluster::Answer;

fn worker(number: u128) -> Worker {
    let info = WorkerInfo {
        id: Uuid::from_u128(number).to_string(),
        data_address: format!("w{number}:7338"),
        memory_budget: 100,
        ..WorkerInfo::default()
    };
    Worker::read(info).expect("well-formed")
}

fn turns() -> Turns {
    Turns::new(&"app-1".parse().expect("valid"))
}

fn cluster(workers: &[Worker]) -> Cluster {
    let mut cluster = Cluster::new(Duration::from_secs(30));
    cluster.see([Answer { workers: workers.to_vec(), ..Answer::default() }].iter(), Instant::now());
    cluster
}

fn fit(workers: &[Worker], suspects: &Suspects, tags: &[&str]) -> Result<Vec<String>> {
    let tags: Vec<_> = tags.iter().map(|tag| (*tag).to_owned()).collect();
    let cluster = cluster(workers);
    let fit = Fit::find(&cluster, suspects, &tags, Instant::now())?;
    Ok(fit.workers.iter().map(|worker| worker.place.address.clone()).collect())
}

/// How often each worker is in `chains`.
fn shares(chains: &[Vec<Place>]) -> BTreeMap<Uuid, usize> {
    let mut shares = BTreeMap::new();
    chains.iter().flatten().for_each(|place| *shares.entry(place.worker.id).or_default() += 1);
    shares
}

#[test]
fn shards_follow_partitions_and_workers() {
    let shards = |partitions, workers| layout(partitions, workers).expect("in bounds").shards();
    assert_eq!(shards(1, 2), 1);
    assert_eq!(shards(200, 2), 1);
    assert_eq!(shards(2000, 2), 4);
    assert_eq!(shards(100_000, 1), 2);
    assert_eq!(layout(0, 1).expect_err("no partitions").kind(), ErrorKind::Invalid);
}

#[test]
fn draining_suspect_and_untagged_workers_get_nothing_when_it_can_be_helped() {
    let now = Instant::now();
    let draining = Worker { draining: true, ..worker(1) };
    let mut suspects = Suspects::default();
    suspects.add(worker(3).place.worker, now - Duration::from_secs(1));
    suspects.add(worker(2).place.worker, now);
    let all = [draining.clone(), worker(2), worker(3), worker(4)];
    assert_eq!(fit(&all, &suspects, &[]), Ok(vec!["w4:7338".to_owned()]));
    assert_eq!(fit(&all[..3], &suspects, &[]), Ok(vec!["w3:7338".to_owned()]), "the one suspected before");
    let error = fit(&all[..1], &suspects, &[]).expect_err("none left");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.message().contains("1 are known, 1 of them draining"), "{error}");
    let fast = Worker { tags: vec!["ssd".into(), "fast".into()], ..worker(5) };
    let slow = Worker { tags: vec!["ssd".into()], ..worker(6) };
    assert_eq!(fit(&[fast.clone(), slow.clone()], &suspects, &["fast", "ssd"]), Ok(vec!["w5:7338".to_owned()]));
    let error = fit(&[slow], &suspects, &["fast", "ssd"]).expect_err("none has both");
    assert!(error.message().contains("fast, ssd"), "{error}");
}

#[test]
fn a_worker_with_no_room_on_any_disk_gets_nothing_when_it_can_be_helped() {
    let (full, roomy) = (worker(1), Worker { disk_free: 1, ..worker(2) });
    let fit = |workers: &[Worker]| fit(workers, &Suspects::default(), &[]).expect("one is left");
    assert_eq!(fit(&[full.clone(), roomy]), ["w2:7338"]);
    assert_eq!(fit(&[full]), ["w1:7338"]);
}

#[test]
fn silent_workers_are_used_before_none() {
    let mut cluster = cluster(&[worker(1)]);
    cluster.see([Answer::default()].iter(), Instant::now());
    let fit = Fit::find(&cluster, &Suspects::default(), &[], Instant::now()).expect("one is left");
    assert_eq!((fit.workers.len(), fit.suspect), (1, false));
}

#[test]
fn a_busy_worker_comes_last_but_is_better_than_a_chain_too_short() {
    let (busy, idle) = (Worker { memory_used: 95, ..worker(1) }, [worker(2), worker(3)]);
    let all = [&busy, &idle[0], &idle[1]];
    for _ in 0..20 {
        assert!(turns().chain(&all, 2, &[]).iter().all(|place| *place != busy.place));
        assert_eq!(turns().chain(&all, 3, &[]).len(), 3);
    }
}

#[test]
fn applications_start_at_different_workers() {
    let workers: Vec<_> = (1..=8).map(worker).collect();
    let all: Vec<_> = workers.iter().collect();
    let first = |app: u32| {
        let app = format!("app-{app}").parse().expect("valid");
        Turns::new(&app).chain(&all, 1, &[]).remove(0).worker
    };
    assert!((0..50).map(first).collect::<BTreeSet<_>>().len() > 4);
}

#[test]
fn a_heavier_worker_gets_more_and_a_new_one_no_more_than_its_share() {
    let small = Worker { memory_used: 50, disk_free: 50, ..worker(1) };
    let large = Worker { disk_free: 100, ..worker(2) };
    let mut turns = turns();
    let chains: Vec<_> = (0..300).map(|_| turns.chain(&[&small, &large], 1, &[])).collect();
    assert_eq!(shares(&chains)[&large.id()], 200);
    let new = Worker { disk_free: 100, ..worker(3) };
    let chains: Vec<_> = (0..250).map(|_| turns.chain(&[&small, &large, &new], 1, &[])).collect();
    assert!((99..=101).contains(&shares(&chains)[&new.id()]), "{:?}", shares(&chains));
}

#[test]
fn a_split_goes_to_other_workers_where_there_are_some() {
    let workers: Vec<_> = (1..=3).map(worker).collect();
    let all: Vec<_> = workers.iter().collect();
    let mut turns = turns();
    let old = [workers[0].id(), workers[1].id()];
    let chain = turns.chain(&all, 2, &old);
    assert!(chain.contains(&workers[2].place));
    assert_eq!(turns.chain(&all[..2], 2, &old).len(), 2);
}

/// Workers of a few hosts, each in a zone of its own or of no known one.
fn some_workers() -> impl Strategy<Value = Vec<Worker>> {
    proptest::collection::vec((0u32..5, any::<bool>(), 0u64..100, 0u64..100), 1..9).prop_map(|workers| {
        let worker = |(number, (host, zoned, used, free)): (usize, (u32, bool, u64, u64))| Worker {
            host: format!("h{host}"),
            zone: if zoned { format!("z{}", host % 3) } else { String::new() },
            memory_used: used,
            disk_free: free,
            ..worker(number as u128 + 1)
        };
        workers.into_iter().enumerate().map(worker).collect()
    })
}

proptest! {
    #[test]
    fn a_chain_has_distinct_workers_on_as_many_hosts_as_there_are(
        workers in some_workers(), len in 1usize..5, count in 1usize..20,
    ) {
        let all: Vec<_> = workers.iter().collect();
        let hosts = all.iter().map(|worker| &worker.host).collect::<BTreeSet<_>>().len();
        let mut turns = turns();
        for _ in 0..count {
            let chain = turns.chain(&all, len, &[]);
            prop_assert_eq!(chain.len(), len.min(all.len()));
            let members: Vec<_> =
                all.iter().filter(|worker| chain.contains(&worker.place)).collect();
            prop_assert_eq!(members.len(), chain.len(), "each once");
            let used = members.iter().map(|worker| &worker.host).collect::<BTreeSet<_>>().len();
            prop_assert_eq!(used, chain.len().min(hosts));
        }
    }

    #[test]
    fn two_replicas_are_in_two_zones_where_there_are_two(zones in proptest::collection::vec(0u32..3, 2..9)) {
        let zoned = |(number, zone): (usize, &u32)| Worker { zone: format!("z{zone}"), ..worker(number as u128 + 1) };
        let workers: Vec<_> = zones.iter().enumerate().map(zoned).collect();
        let all: Vec<_> = workers.iter().collect();
        let mut turns = turns();
        for _ in 0..10 {
            let chain = turns.chain(&all, 2, &[]);
            let used: BTreeSet<_> =
                all.iter().filter(|worker| chain.contains(&worker.place)).map(|worker| &worker.zone).collect();
            prop_assert_eq!(used.len(), 2.min(zones.iter().collect::<BTreeSet<_>>().len()));
        }
    }

    #[test]
    fn equal_workers_get_equal_shares(count in 1u128..9, len in 1usize..4, chains in 1usize..100) {
        let workers: Vec<_> = (1..=count).map(worker).collect();
        let all: Vec<_> = workers.iter().collect();
        let mut turns = turns();
        let chains: Vec<_> = (0..chains).map(|_| turns.chain(&all, len, &[])).collect();
        let primaries: Vec<_> = chains.iter().map(|chain| vec![chain[0].clone()]).collect();
        for (shares, apart) in [(shares(&chains), 1), (shares(&primaries), 3)] {
            let of = |worker: &Worker| shares.get(&worker.id()).copied().unwrap_or(0);
            let (least, most) = (workers.iter().map(of).min(), workers.iter().map(of).max());
            prop_assert!(most.expect("some") - least.expect("some") <= apart, "{shares:?}");
        }
    }
}
