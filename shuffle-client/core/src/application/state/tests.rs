use std::collections::BTreeSet;

use overhand_proto::v1::WorkerInfo;
use proptest::prelude::*;

use super::*;
use crate::application::cluster::Worker;

pub(crate) fn worker(number: u128) -> Worker {
    let info = WorkerInfo {
        id: Uuid::from_u128(number).to_string(),
        incarnation: 1,
        data_address: format!("w{number}:7338"),
        memory_budget: 100,
        ..WorkerInfo::default()
    };
    Worker::read(info).expect("well-formed")
}

pub(crate) fn workers(count: u128) -> Vec<Worker> {
    (1..=count).map(worker).collect()
}

/// The worker that came back as `worker` with nothing.
pub(crate) fn anew(worker: &Worker) -> Worker {
    let mut anew = worker.clone();
    anew.place.worker.incarnation += 1;
    anew
}

pub(crate) fn state(replicas: u32, workers: &[Worker], now: Instant) -> State {
    let config = ApplicationConfig {
        replicas: Some(replicas),
        ..ApplicationConfig::new(vec![], "app-1".parse().expect("valid"))
    };
    let mut state = State::new(&config);
    see(&mut state, workers, now);
    state
}

pub(crate) fn see(state: &mut State, workers: &[Worker], now: Instant) {
    state.see([Answer { workers: workers.to_vec(), ..Answer::default() }].iter(), now);
}

fn broken(shard: u32, epoch: u32, suspect: Option<WorkerId>) -> Trouble {
    Trouble::Broken { shard, epoch, suspect, why: "it is silent".into() }
}

/// Who is in the newest chain of each shard.
fn newest(shuffle: &Shuffle) -> Vec<BTreeSet<WorkerId>> {
    let chain = |epochs: &Vec<Epoch>| {
        let newest = epochs.last().expect("a shard has an epoch");
        newest.chain.iter().map(|place| place.worker).collect()
    };
    shuffle.shards.iter().map(chain).collect()
}

#[test]
fn one_complaint_moves_every_shard_off_the_suspect_and_no_other() {
    let now = Instant::now();
    let mut state = state(2, &workers(4), now);
    let before = state.place(0, 2000, now).expect("placed").clone();
    let suspect = before.shards[0][0].chain[1].worker;
    let hit: Vec<_> = newest(&before).iter().map(|chain| chain.contains(&suspect)).collect();
    let after = state.trouble(0, &broken(0, 0, Some(suspect)), now).expect("moved").clone();
    assert!(after.version > before.version);
    assert!(newest(&after).iter().all(|chain| !chain.contains(&suspect) && chain.len() == 2));
    let moved: Vec<_> = after.shards.iter().map(|epochs| epochs.len() == 2).collect();
    assert_eq!(moved, hit);
    let moved = moved.iter().filter(|moved| **moved).count() as u64;
    assert_eq!((state.health.chains_broken, state.health.epochs_opened), (moved, moved));
}

#[test]
fn a_storm_of_complaints_opens_one_epoch() {
    let now = Instant::now();
    let mut state = state(2, &workers(4), now);
    let suspect = state.place(0, 10, now).expect("placed").shards[0][0].chain[0].worker;
    let first = state.trouble(0, &broken(0, 0, Some(suspect)), now).expect("moved").clone();
    for suspect in [Some(suspect), None, Some(first.shards[0][1].chain[0].worker)] {
        let again = state.trouble(0, &broken(0, 0, suspect), now).expect("answered");
        assert_eq!((again.version, again.shards[0].len()), (first.version, 2));
    }
    assert_eq!(state.health.epochs_opened, 1);
}

#[test]
fn a_worker_that_was_started_again_is_avoided_no_longer() {
    let now = Instant::now();
    let mut all = workers(2);
    let mut state = state(2, &all, now);
    let stopped = state.place(0, 10, now).expect("placed").shards[0][0].chain[1].worker;
    let alone = state.trouble(0, &broken(0, 0, Some(stopped)), now).expect("moved").clone();
    assert_eq!(alone.shards[0][1].chain.len(), 1);
    see(&mut state, &all, now);
    assert_eq!(state.to_leave(now), [], "it is avoided");
    all.iter_mut().filter(|worker| worker.place.worker == stopped).for_each(|worker| worker.start = 7);
    see(&mut state, &all, now);
    state.follow(now);
    assert_eq!(state.get(0).expect("there").shards[0][2].chain.len(), 2, "it takes data again");
}

#[test]
fn the_primary_is_suspected_if_nobody_is_named_and_new_shuffles_avoid_it() {
    let now = Instant::now();
    let mut state = state(1, &workers(3), now);
    let primary = state.place(0, 10, now).expect("placed").shards[0][0].primary().clone();
    state.trouble(0, &broken(0, 0, None), now).expect("moved");
    for shuffle in 1..20 {
        let chain = &state.place(shuffle, 10, now).expect("placed").shards[0][0].chain;
        assert!(!chain.contains(&primary));
    }
    let later = now + Duration::from_secs(11);
    let placed = (20..30).any(|shuffle| {
        let chain = &state.place(shuffle, 10, later).expect("placed").shards[0][0].chain;
        chain.contains(&primary)
    });
    assert!(placed, "it is tried again");
}

#[test]
fn an_unreadable_worker_and_troubles_that_can_not_be_open_nothing() {
    let now = Instant::now();
    let mut state = state(1, &workers(2), now);
    let version = state.place(0, 10, now).expect("placed").version;
    assert_eq!(state.trouble(0, &Trouble::Unreadable, now).expect("answered").version, version);
    let kind = |state: &mut State, shuffle, trouble| state.trouble(shuffle, &trouble, now).expect_err("wrong").kind();
    assert_eq!(kind(&mut state, 0, broken(0, 1, None)), ErrorKind::Invalid);
    assert_eq!(kind(&mut state, 0, Trouble::Split { shard: 1, epoch: 0 }), ErrorKind::Invalid);
    assert_eq!(kind(&mut state, 1, Trouble::Unreadable), ErrorKind::NotFound);
    assert_eq!(state.get(0).expect("there").version, version);
}

#[test]
fn a_split_goes_on_at_other_workers() {
    let now = Instant::now();
    let mut state = state(2, &workers(4), now);
    state.place(0, 10, now).expect("placed");
    let split = state.trouble(0, &Trouble::Split { shard: 0, epoch: 0 }, now).expect("split").clone();
    let [before, after] = &split.shards[0][..] else { panic!("two epochs: {split:?}") };
    assert!(after.chain.iter().all(|place| !before.chain.contains(place)));
    let again = state.trouble(0, &Trouble::Split { shard: 0, epoch: 0 }, now).expect("answered");
    assert_eq!(again.shards[0].len(), 2);
}

#[test]
fn where_only_suspects_are_left_they_are_tried_again_but_not_for_ever() {
    let now = Instant::now();
    let mut state = state(2, &workers(2), now);
    state.place(0, 10, now).expect("placed");
    let mut primaries = vec![];
    for epoch in 0..=LAST_RESORTS {
        let at = now + Duration::from_millis(epoch.into());
        let moved = state.trouble(0, &broken(0, epoch, None), at).expect("moved");
        let newest = moved.shards[0].last().expect("one");
        assert_eq!(newest.chain.len(), 1);
        primaries.push(newest.primary().worker);
    }
    assert!(primaries.windows(2).any(|two| two[0] != two[1]), "they take turns");
    let newest = LAST_RESORTS + 1;
    let soon = now + Duration::from_millis(newest.into());
    let error = state.trouble(0, &broken(0, newest, None), soon).expect_err("too many");
    assert_eq!(error.kind(), ErrorKind::Backpressure);
    let later = soon + LAST_RESORTS_WITHIN;
    let moved = state.trouble(0, &broken(0, newest, None), later).expect("tried again");
    assert_eq!(moved.shards[0].len() as u32, newest + 2);
    see(&mut state, &[anew(&worker(1))], later);
    let moved = state.trouble(0, &broken(0, newest + 1, None), later).expect("it started anew").clone();
    assert_eq!(moved.shards[0].last().expect("one").primary().worker.incarnation, 2);
}

#[test]
fn without_a_worker_the_error_says_so() {
    let now = Instant::now();
    let mut state = state(2, &workers(1), now);
    state.place(0, 10, now).expect("placed");
    see(&mut state, &[Worker { draining: true, ..worker(1) }], now);
    assert_eq!(state.trouble(0, &broken(0, 0, None), now).expect_err("draining").kind(), ErrorKind::NotFound);
    assert_eq!(state.place(1, 10, now).expect_err("draining").kind(), ErrorKind::NotFound);
    assert_eq!(state.get(0).expect("there").shards[0].len(), 1);
}

#[test]
fn a_tenant_over_its_quota_gets_no_new_shuffle_but_goes_on_with_the_old_ones() {
    let now = Instant::now();
    let mut state = state(1, &workers(2), now);
    state.place(0, 10, now).expect("placed");
    let over = Answer { workers: workers(2), over_quota: "tenant t has 5 GiB of 4".into(), ..Answer::default() };
    state.see([over].iter(), now);
    let error = state.place(1, 10, now).expect_err("over quota");
    assert_eq!(error.kind(), ErrorKind::Backpressure);
    assert!(error.message().contains("5 GiB of 4"), "{error}");
    state.place(0, 10, now).expect("it is there");
    state.trouble(0, &broken(0, 0, None), now).expect("moved");
}

#[test]
fn a_shuffle_placed_again_is_the_same_and_one_after_a_removal_is_newer() {
    let now = Instant::now();
    let mut state = state(2, &workers(3), now);
    let first = state.place(0, 10, now).expect("placed").clone();
    assert_eq!(state.place(0, 10, now).expect("there").version, first.version);
    assert_eq!(state.place(0, 11, now).expect_err("another").kind(), ErrorKind::Invalid);
    let after = state.trouble(0, &broken(0, 0, None), now).expect("moved").version;
    let mut told: Vec<_> = state.remove(0).iter().map(|place| place.worker.id.as_u128()).collect();
    told.sort_unstable();
    assert_eq!(told, [1, 2, 3], "all that ever had something of it");
    assert!(state.remove(0).is_empty());
    assert!(state.place(0, 10, now).expect("placed").version > after);
}

/// Things that happen to an application.
#[derive(Debug, Clone)]
enum Event {
    Broken { shard: u32, back: u32, suspect: usize },
    Split { shard: u32, back: u32 },
    Anew(usize),
    Drain(usize),
    Gone(usize),
    Wait(u64),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        3 => (0u32..4, 0u32..3, 0usize..5)
            .prop_map(|(shard, back, suspect)| Event::Broken { shard, back, suspect }),
        1 => (0u32..4, 0u32..3).prop_map(|(shard, back)| Event::Split { shard, back }),
        1 => (0usize..5).prop_map(Event::Anew),
        1 => (0usize..5).prop_map(Event::Drain),
        1 => (0usize..5).prop_map(Event::Gone),
        2 => (0u64..40).prop_map(Event::Wait),
    ];
    proptest::collection::vec(event, 1..40)
}

proptest! {
    #[test]
    fn whatever_happens_epochs_are_in_order_and_chains_of_distinct_workers_that_take_data(events in events()) {
        let mut now = Instant::now();
        let mut all = workers(5);
        let mut state = state(2, &all, now);
        let mut last = state.place(0, 600, now).expect("placed").clone();
        let shards = last.shards.len() as u32;
        for event in events {
            let mut opens = 0;
            let done = match event {
                Event::Broken { shard, back, suspect } => {
                    let shard = shard % shards;
                    let newest = last.shards[shard as usize].len() as u32 - 1;
                    opens = usize::from(back == 0) * shards as usize;
                    let suspect = Some(all[suspect].place.worker);
                    state.trouble(0, &broken(shard, newest.saturating_sub(back), suspect), now).map(|_| ())
                }
                Event::Split { shard, back } => {
                    let shard = shard % shards;
                    let newest = last.shards[shard as usize].len() as u32 - 1;
                    opens = usize::from(back == 0);
                    let epoch = newest.saturating_sub(back);
                    state.trouble(0, &Trouble::Split { shard, epoch }, now).map(|_| ())
                }
                Event::Anew(at) => {
                    all[at] = Worker { draining: false, ..anew(&all[at]) };
                    see(&mut state, &all, now);
                    Ok(())
                }
                Event::Drain(at) => {
                    all[at].draining = !all[at].draining;
                    see(&mut state, &all, now);
                    Ok(())
                }
                Event::Gone(at) => {
                    let others: Vec<_> = all.iter().filter(|worker| worker.id() != all[at].id()).cloned().collect();
                    see(&mut state, &others, now);
                    Ok(())
                }
                Event::Wait(seconds) => {
                    now += Duration::from_secs(seconds);
                    Ok(())
                }
            };
            let after = state.get(0).expect("there").clone();
            let opened: usize = after.shards.iter().zip(&last.shards).map(|(now, was)| now.len() - was.len()).sum();
            prop_assert_eq!(opened > 0, after.version > last.version);
            prop_assert!(done.is_ok() || opened == 0);
            // A trouble about an older epoch opens nothing; with two epochs or fewer, `back` may mean the newest.
            prop_assert!(opened <= opens.max(usize::from(last.shards.iter().any(|epochs| epochs.len() <= 2)) * 6));
            for (epochs, was) in after.shards.iter().zip(&last.shards) {
                prop_assert_eq!(&epochs[..was.len()], &was[..], "what is there stays");
                prop_assert!((0..).zip(epochs).all(|(number, epoch)| epoch.epoch == number));
                for epoch in &epochs[was.len()..] {
                    let ids: BTreeSet<_> = epoch.chain.iter().map(|place| place.worker.id).collect();
                    prop_assert!(!ids.is_empty() && ids.len() == epoch.chain.len());
                    let fit = |place: &Place| {
                        let standing = state.cluster.standing(&place.worker, now);
                        matches!(standing, Standing::Whole | Standing::Silent)
                    };
                    prop_assert!(epoch.chain.iter().all(fit));
                }
            }
            last = after;
        }
    }
}
