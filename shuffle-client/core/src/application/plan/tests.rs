use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;

use super::*;
use crate::{
    WorkerId,
    application::{
        state::tests::{anew, see, state, worker, workers},
        work::{BARRED_FOR, Work},
    },
};

const GRACE: Duration = Duration::from_secs(30);

/// What a driver knows after it has placed shuffle 0 on these workers.
fn placed(replicas: u32, workers: &[Worker], now: Instant) -> State {
    let mut state = state(replicas, workers, now);
    state.place(0, 10, now).expect("placed");
    state
}

fn chain(state: &State, epoch: usize) -> Vec<WorkerId> {
    let known = state.get(0).expect("there");
    known.shards[0][epoch].chain.iter().map(|place| place.worker).collect()
}

fn without(workers: &[Worker], gone: WorkerId) -> Vec<Worker> {
    workers.iter().filter(|worker| worker.place.worker != gone).cloned().collect()
}

fn draining(workers: &[Worker], who: WorkerId) -> Vec<Worker> {
    let drain = |worker: &Worker| Worker { draining: worker.place.worker == who || worker.draining, ..worker.clone() };
    workers.iter().map(drain).collect()
}

fn copy(state: &mut State, now: Instant) -> Copy {
    state.follow(now);
    match state.next_job(now) {
        Some(Job::Copy(copy)) => copy,
        other => panic!("a copy is expected, not {other:?}"),
    }
}

#[test]
fn a_lost_workers_epochs_are_copied_after_the_grace_period_and_not_before() {
    let now = Instant::now();
    let all = workers(3);
    let mut state = placed(2, &all, now);
    let [lost, left] = chain(&state, 0)[..] else { panic!("two members") };
    see(&mut state, &without(&all, lost), now);
    let early = now + GRACE - Duration::from_secs(1);
    state.follow(early);
    assert_eq!(state.next_job(early), None);
    assert_eq!(state.next_due(early), Some(now + GRACE));
    let late = now + GRACE;
    let copy = copy(&mut state, late);
    assert_eq!(chain(&state, 1).len(), 2, "new data goes elsewhere first");
    assert!(!chain(&state, 1).contains(&lost));
    assert_eq!((copy.from.worker, copy.key.epoch), (left, 0));
    assert!(copy.to.worker != lost && copy.to.worker != left);
    assert_eq!(state.next_job(late), None, "one at a time for an epoch");
    let version = state.get(0).expect("there").version;
    assert!(!state.copied(&copy, true, late));
    assert_eq!(chain(&state, 0), [copy.to.worker, left]);
    assert!(state.get(0).expect("there").version > version);
    assert_eq!(state.next_job(late), None);
    assert_eq!((state.health.copies_made, state.health(late).under_replicated_epochs), (1, 0));
    let told: Vec<_> = state.remove(0).into_iter().map(|place| place.worker).collect();
    assert!(told.contains(&lost), "it may come back");
}

#[test]
fn a_failed_copy_is_tried_at_another_worker_and_later_at_the_same() {
    let now = Instant::now();
    let all = workers(4);
    let mut state = placed(2, &all, now);
    let lost = chain(&state, 0)[0];
    see(&mut state, &without(&all, lost), now);
    let now = now + GRACE;
    let first = copy(&mut state, now);
    state.copied(&first, false, now);
    let second = copy(&mut state, now);
    assert_ne!(first.to, second.to);
    state.copied(&second, false, now);
    assert_eq!(state.next_job(now), None, "nobody else is left");
    assert_eq!(state.next_due(now), Some(now + BARRED_FOR));
    let now = now + BARRED_FOR;
    let third = copy(&mut state, now);
    state.copied(&third, true, now);
    assert!(chain(&state, 0).contains(&third.to.worker));
    assert_eq!((state.health.copies_failed, state.health.copies_made), (2, 1));
}

#[test]
fn the_next_copy_after_a_failure_is_taken_from_another_member() {
    let now = Instant::now();
    let all = workers(5);
    let mut state = placed(3, &all, now);
    let lost = chain(&state, 0)[0];
    see(&mut state, &without(&all, lost), now);
    let now = now + GRACE;
    let first = copy(&mut state, now);
    state.copied(&first, false, now);
    let second = copy(&mut state, now);
    assert!(first.from != second.from && first.to != second.to);
}

#[test]
fn a_drain_moves_what_the_worker_has_and_forgets_it_there() {
    let now = Instant::now();
    let all = workers(3);
    let mut state = placed(2, &all, now);
    let [drained, stays] = chain(&state, 0)[..] else { panic!("two members") };
    see(&mut state, &draining(&all, drained), now);
    let copy = copy(&mut state, now);
    assert_eq!(copy.from.worker, drained, "it has everything that it is to be rid of");
    state.copied(&copy, true, now);
    assert_eq!(chain(&state, 0), [copy.to.worker, stays]);
    let Some(Job::Forget(forget)) = state.next_job(now) else { panic!("it is to be forgotten") };
    assert_eq!((forget.key, forget.at.worker), (copy.key, drained));
    state.forgot(&forget, false, now);
    assert_eq!(state.next_job(now), None);
    let now = now + BARRED_FOR;
    state.follow(now);
    assert_eq!(state.next_job(now), Some(Job::Forget(forget.clone())), "again later");
    state.forgot(&forget, true, now);
    assert_eq!(state.next_job(now), None);
    assert!(state.remove(0).iter().all(|place| place.worker != drained), "it has nothing any more");
}

#[test]
fn a_drained_copy_stays_while_another_member_is_amiss() {
    let now = Instant::now();
    let all = workers(4);
    let mut state = placed(2, &all, now);
    let [drained, lost] = chain(&state, 0)[..] else { panic!("two members") };
    see(&mut state, &draining(&without(&all, lost), drained), now);
    let first = copy(&mut state, now);
    state.copied(&first, true, now);
    assert_eq!(state.next_job(now), None, "the other member is silent");
    let now = now + GRACE;
    let second = copy(&mut state, now);
    assert_eq!((second.from.worker, second.replaces.as_ref().map(|lost| lost.worker)), (first.to.worker, Some(lost)));
    state.copied(&second, true, now);
    assert!(matches!(state.next_job(now), Some(Job::Forget(forget)) if forget.at.worker == drained));
}

#[test]
fn the_last_but_one_worker_can_be_drained_and_the_last_one_can_not() {
    let now = Instant::now();
    let all = workers(2);
    let mut state = placed(2, &all, now);
    let [drained, stays] = chain(&state, 0)[..] else { panic!("two members") };
    let mut all = draining(&all, drained);
    see(&mut state, &all, now);
    let copy = copy(&mut state, now);
    assert_eq!((copy.from.worker, copy.to.worker), (drained, stays));
    state.copied(&copy, true, now);
    assert_eq!(chain(&state, 0), [stays]);
    assert!(matches!(state.next_job(now), Some(Job::Forget(forget)) if forget.at.worker == drained));
    all = draining(&all, stays);
    see(&mut state, &all, now);
    state.follow(now);
    assert_eq!(state.next_job(now), None);
}

#[test]
fn a_worker_that_started_anew_takes_its_copy_from_the_other_member() {
    let now = Instant::now();
    let all = workers(3);
    let mut state = placed(2, &all, now);
    let [old, other] = chain(&state, 0)[..] else { panic!("two members") };
    let new = anew(all.iter().find(|worker| worker.place.worker == old).expect("one of them"));
    let mut all = without(&all, old);
    all.push(new.clone());
    see(&mut state, &all, now);
    let copy = copy(&mut state, now);
    assert_eq!((copy.from.worker, &copy.to), (other, &new.place));
    assert!(!chain(&state, 1).contains(&old));
    state.copied(&copy, true, now);
    assert_eq!(chain(&state, 0), [new.place.worker, other]);
    assert_eq!(state.next_job(now), None, "nothing is forgotten");
}

#[test]
fn what_a_worker_that_lost_a_disk_held_is_copied_to_another_one() {
    let now = Instant::now();
    let mut all = workers(3);
    let mut state = placed(2, &all, now);
    let [hit, other] = chain(&state, 0)[..] else { panic!("two members") };
    let number = all.iter().position(|worker| worker.place.worker == hit).expect("one of them");
    all[number].disks_lost = 1;
    all.iter_mut().for_each(|worker| worker.held = 1000);
    see(&mut state, &all, now);
    let copy = copy(&mut state, now);
    let health = state.health(now);
    assert_eq!(health.under_replicated_epochs, 1);
    assert!(matches!(health.under_replicated_bytes, 500 | 1000), "its members are in one or two epochs: {health:?}");
    assert_eq!((copy.from.worker, copy.key.epoch), (other, 0));
    assert!(copy.to.worker != hit && copy.to.worker != other);
    assert_eq!(chain(&state, 1).len(), 2, "what comes now is not in doubt");
    state.copied(&copy, true, now);
    assert_eq!((chain(&state, 0), state.health(now).under_replicated_epochs), (vec![copy.to.worker, other], 0));
    assert!(matches!(state.next_job(now), Some(Job::Forget(forget)) if forget.at.worker == hit), "what is left of it");
    see(&mut state, &all, now);
    assert_eq!(state.to_leave(now), [], "it is heard once");
}

#[test]
fn one_that_lost_a_disk_takes_its_copy_itself_if_there_is_nobody_else() {
    let now = Instant::now();
    let mut all = workers(2);
    let mut state = placed(2, &all, now);
    let [hit, other] = chain(&state, 0)[..] else { panic!("two members") };
    all.iter_mut().filter(|worker| worker.place.worker == hit).for_each(|worker| worker.disks_lost = 1);
    see(&mut state, &all, now);
    let copy = copy(&mut state, now);
    assert_eq!((copy.from.worker, copy.to.worker), (other, hit));
    state.copied(&copy, true, now);
    assert_eq!((chain(&state, 0), state.next_job(now)), (vec![hit, other], None));
    assert_eq!(state.health(now).under_replicated_epochs, 0);
}

#[test]
fn a_lost_worker_that_comes_back_forgets_what_others_have_taken_over() {
    let now = Instant::now();
    let all = workers(3);
    let mut state = placed(2, &all, now);
    let lost = chain(&state, 0)[0];
    see(&mut state, &without(&all, lost), now);
    let now = now + GRACE;
    let copy = copy(&mut state, now);
    state.copied(&copy, true, now);
    assert_eq!(state.next_job(now), None, "it is not there");
    let back: Vec<_> =
        all.iter().map(|worker| if worker.place.worker == lost { anew(worker) } else { worker.clone() }).collect();
    see(&mut state, &back, now);
    let Some(Job::Forget(forget)) = state.next_job(now) else { panic!("it may have its disk") };
    assert_eq!((forget.key, forget.at.worker.id, forget.at.worker.incarnation), (copy.key, lost.id, 2));
    assert!(state.get(0).expect("there").ever.contains_key(&lost.id), "until it says that it has");
    state.forgot(&forget, true, now);
    assert_eq!(state.next_job(now), None);
    assert!(state.remove(0).iter().all(|place| place.worker.id != lost.id));
}

#[test]
fn one_that_is_alone_is_known_by_its_new_incarnation_and_address() {
    let now = Instant::now();
    let mut state = state(1, &workers(1), now);
    let version = state.place(0, 10, now).expect("placed").version;
    let mut new = anew(&worker(1));
    new.place.address = "elsewhere:1".into();
    see(&mut state, std::slice::from_ref(&new), now);
    state.follow(now);
    let known = state.get(0).expect("there");
    assert!(known.version > version);
    assert_eq!(known.shards[0].iter().map(|epoch| epoch.primary()).collect::<Vec<_>>(), [&new.place, &new.place]);
    assert_eq!(state.next_job(now), None);
}

#[test]
fn who_may_have_more_than_the_chain_is_merged_into_it_and_not_just_forgotten() {
    let mut now = Instant::now();
    let mut all = workers(4);
    let mut state = placed(2, &all, now);
    let [lost, crashed] = chain(&state, 0)[..] else { panic!("two members") };
    let at = all.iter().position(|worker| worker.place.worker == crashed).expect("one of them");
    all[at] = anew(&all[at]);
    see(&mut state, &without(&all, lost), now);
    now += GRACE;
    let first = copy(&mut state, now);
    assert_eq!((first.from.worker, first.partial), (all[at].place.worker, true), "there is nobody better");
    state.copied(&first, true, now);
    let second = copy(&mut state, now);
    assert_eq!((&second.from, &second.to, second.partial), (&first.to, &first.from, false));
    state.copied(&second, true, now);
    assert_eq!(state.next_job(now), None, "nobody else is there");
    assert_eq!(state.health(now).under_replicated_epochs, 1, "something may be missing");

    see(&mut state, &all, now);
    let merge = copy(&mut state, now);
    assert_eq!((merge.from.worker, &merge.to, &merge.replaces), (lost, &first.to, &None));
    state.copied(&merge, false, now);
    let again = copy(&mut state, now);
    assert_eq!((again.from.worker, &again.to), (lost, &first.from), "another member takes it");
    state.copied(&again, true, now);
    now += BARRED_FOR;
    let spread = copy(&mut state, now);
    assert_eq!((&spread.from, &spread.replaces), (&again.to, &Some(first.to.clone())), "the other member lacks it");
    state.copied(&spread, true, now);
    state.follow(now);
    let Some(Job::Forget(forget)) = state.next_job(now) else { panic!("it has nothing that others have not") };
    assert_ne!(forget.at.worker, again.to.worker);
    state.forgot(&forget, true, now);
    assert_eq!(state.health(now).under_replicated_epochs, 0);
    assert!(state.work.missed.is_empty());
}

#[test]
fn a_chain_that_was_too_short_grows_when_a_worker_comes() {
    let now = Instant::now();
    let mut state = state(2, &workers(1), now);
    state.place(0, 10, now).expect("placed");
    assert_eq!(state.health(now).under_replicated_epochs, 1);
    see(&mut state, &workers(2), now);
    let copy = copy(&mut state, now);
    assert_eq!((copy.key.epoch, &copy.replaces), (0, &None));
    assert_eq!(chain(&state, 1).len(), 2, "new data goes on in an epoch with enough of them");
    state.copied(&copy, true, now);
    assert_eq!((chain(&state, 0).len(), state.health(now).under_replicated_epochs), (2, 0));
    assert_eq!(state.to_leave(now), [], "once");
}

#[test]
fn a_shuffle_removed_meanwhile_is_removed_at_the_target_too() {
    let now = Instant::now();
    let all = workers(3);
    let mut state = placed(2, &all, now);
    let lost = chain(&state, 0)[0];
    see(&mut state, &without(&all, lost), now);
    let copy = copy(&mut state, now + GRACE);
    assert!(state.remove(0).contains(&copy.to), "it may have some of it already");
    assert!(state.copied(&copy, true, now + GRACE));
    assert!(state.copied(&copy, false, now + GRACE));
    assert_eq!(state.next_job(now + GRACE), None);
}

#[test]
fn who_forgets_one_epoch_while_it_takes_another_is_told_of_the_removal() {
    let mut now = Instant::now();
    let all = workers(3);
    let mut state = placed(2, &all, now);
    let lost = chain(&state, 0)[0];
    see(&mut state, &without(&all, lost), now);
    now += GRACE;
    let first = copy(&mut state, now);
    state.copied(&first, true, now);
    see(&mut state, &all, now);
    state.follow(now);
    let Some(Job::Forget(forget)) = state.next_job(now) else { panic!("others have it") };
    // Meanwhile it takes something else.
    let other = Copy { key: ShardKey { epoch: 1, ..first.key }, to: forget.at.clone(), replaces: None, ..first };
    state.forgot(&forget, true, now);
    state.copied(&other, true, now);
    assert!(state.remove(0).iter().any(|place| place.worker == lost));
}

#[test]
fn what_fewer_workers_hold_comes_first() {
    let now = Instant::now();
    let all = workers(6);
    let mut state = state(3, &all, now);
    for shuffle in 0..8 {
        state.place(shuffle, 10, now).expect("placed");
    }
    let members = |state: &State, shuffle: u32| -> Vec<_> {
        state.get(shuffle).expect("there").shards[0][0].chain.iter().map(|place| place.worker).collect()
    };
    let gone = members(&state, 5)[..2].to_vec();
    see(&mut state, &without(&without(&all, gone[0]), gone[1]), now);
    let first = copy(&mut state, now + GRACE);
    let hit = members(&state, first.key.shuffle).iter().filter(|member| gone.contains(member)).count();
    assert_eq!(hit, 2);
}

proptest! {
    /// Workers die, come back with or without what they held, lose a disk and drain, as many at a time as there are replicas. Nothing is
    /// forgotten that the chain lacks; when all are back, every epoch has as many good members as it should have, each of
    /// them has everything that is left, and everybody who may hold something is told when the shuffle goes.
    #[test]
    fn in_the_end_every_epoch_is_where_it_should_be(
        changes in proptest::collection::vec((0usize..4, 0u8..4), 0..12),
        fails in proptest::collection::vec(any::<bool>(), 0..10),
        (replicas, shuffles) in (2u32..4, 1u32..5),
    ) {
        let mut now = Instant::now();
        let mut all = workers(5);
        let mut state = state(replicas, &all, now);
        for shuffle in 0..shuffles {
            state.place(shuffle, 300, now).expect("placed");
        }
        let mut fails = fails.into_iter();
        // What a worker holds of an epoch, in three parts; it comes back with its disk.
        let mut held = BTreeMap::<(ShardKey, Uuid), BTreeSet<u32>>::new();
        let mut lost = (0..3).cycle();
        let members = |(key, epoch): (ShardKey, &Epoch)| -> Vec<_> {
            epoch.chain.iter().map(|place| (key, place.worker.id)).collect()
        };
        let mut seen = BTreeSet::new();
        let mut meet = |state: &State, held: &mut BTreeMap<_, BTreeSet<u32>>| {
            let new = state.epochs().filter(|(key, _)| seen.insert(*key));
            held.extend(new.flat_map(members).map(|at| (at, (0..3).collect())));
        };
        meet(&state, &mut held);
        let rounds = changes.chunks(replicas as usize).chain([&[][..], &[][..]]);
        for round in rounds {
            let mut gone = BTreeSet::new();
            all.iter_mut().for_each(|worker| worker.draining = false);
            for (at, change) in round.iter().copied() {
                match change {
                    0 => drop(gone.insert(all[at].id())),
                    1 => all[at] = anew(&all[at]),
                    2 => all[at].draining = true,
                    _ => all[at].disks_lost += 1,
                }
                if [1, 3].contains(&change) {
                    let part = lost.next().expect("it has no end");
                    let its = held.iter_mut().filter(|((_, id), _)| *id == all[at].id());
                    its.for_each(|(_, parts)| parts.retain(|held| *held != part));
                }
            }
            let alive: Vec<_> = all.iter().filter(|worker| !gone.contains(&worker.id())).cloned().collect();
            see(&mut state, &alive, now);
            now += GRACE;
            for round in 0.. {
                prop_assert!(round < 500, "it never ends");
                state.follow(now);
                meet(&state, &mut held);
                match state.next_job(now) {
                    Some(Job::Copy(copy)) => {
                        let (from, to) = (copy.from.worker.id, copy.to.worker.id);
                        prop_assert!(from != to && !gone.contains(&from) && !gone.contains(&to));
                        let made = !fails.next().unwrap_or(false);
                        let source = held.get(&(copy.key, from)).filter(|_| made).cloned().unwrap_or_default();
                        held.entry((copy.key, to)).or_default().extend(source);
                        prop_assert!(!state.copied(&copy, made, now));
                    }
                    Some(Job::Forget(forget)) => {
                        let known = state.get(forget.key.shuffle).expect("there");
                        let epoch = &known.shards[forget.key.shard as usize][forget.key.epoch as usize];
                        prop_assert!(!epoch.chain.contains(&forget.at));
                        let forgotten = held.remove(&(forget.key, forget.at.worker.id)).unwrap_or_default();
                        for (_, id) in members((forget.key, epoch)) {
                            let left = &held[&(forget.key, id)];
                            prop_assert!(forgotten.is_subset(left), "{:?} of {forgotten:?} is left", left);
                        }
                        state.forgot(&forget, true, now);
                    }
                    None if state.work.barred.is_empty() => break,
                    None => now += BARRED_FOR,
                }
            }
            prop_assert!(state.work.running.is_empty());
            if !gone.is_empty() || alive.iter().any(|worker| worker.draining) {
                continue;
            }
            let Work { missed, leaving, doubted, .. } = &state.work;
            prop_assert!(missed.is_empty() && doubted.is_empty(), "{:?}", state.work);
            prop_assert!(leaving.values().all(Vec::is_empty), "{leaving:?}");
            prop_assert_eq!(state.health(now).under_replicated_epochs, 0);
            for (key, epoch) in state.epochs() {
                let ids: BTreeSet<_> = epoch.chain.iter().map(|place| place.worker.id).collect();
                prop_assert_eq!((ids.len(), epoch.chain.len()), (replicas as usize, ids.len()), "{:?}", epoch);
                let standings = state.standings(key, epoch, now);
                prop_assert!(standings.iter().all(|standing| *standing == Standing::Whole), "{standings:?}");
                let copies = held.iter().filter(|((of, _), _)| *of == key).map(|(_, held)| held);
                let all: BTreeSet<_> = copies.flatten().collect();
                for at in members((key, epoch)) {
                    prop_assert_eq!(&held.get(&at).into_iter().flatten().collect::<BTreeSet<_>>(), &all);
                }
            }
        }
        for shuffle in 0..shuffles {
            let told: BTreeSet<_> = state.remove(shuffle).into_iter().map(|place| place.worker.id).collect();
            let mut holders = held.keys().filter(|(key, _)| key.shuffle == shuffle);
            prop_assert!(holders.all(|(_, id)| told.contains(id)), "{:?} and {:?}", held, told);
        }
    }
}
