use std::{future::Future, pin::Pin, task::Context};

use overhand_common::{ErrorKind, ids::AppId, message::MAX_BODY};
use proptest::prelude::*;

use super::*;

fn app(number: usize) -> AppId {
    format!("app-{number}").parse().expect("valid")
}

fn take(pool: &Pool, len: usize, overhead: usize) -> Option<PooledBuf> {
    let permit = pool.budget().try_acquire(&app(0), Pool::charge(len, overhead).expect("small"))?;
    Some(pool.take(len, permit).expect("there is address space"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_permit_comes_back_and_mapped_memory_stays_within_the_budget(
        steps in proptest::collection::vec((any::<bool>(), 0usize..3 << 20, any::<prop::sample::Index>()), 1..120),
    ) {
        let budget = Budget::new(8 << 20);
        let pool = Pool::new(budget.clone());
        let mut held: Vec<(PooledBuf, u8)> = vec![];
        for (number, (free, len, which)) in steps.into_iter().enumerate() {
            if free && !held.is_empty() {
                let (buf, mark) = held.swap_remove(which.index(held.len()));
                prop_assert!(buf.iter().all(|byte| *byte == mark), "no other buffer wrote into this one");
            } else if let Some(mut buf) = take(&pool, len, number % 3 * 64) {
                prop_assert_eq!(buf.len(), len);
                buf.fill(number as u8);
                held.push((buf, number as u8));
            }
            prop_assert_eq!(budget.held(), held.iter().map(|(buf, _)| buf.charge()).sum::<u64>());
            prop_assert!(pool.mapped() <= budget.capacity());
        }
        held.clear();
        prop_assert_eq!(budget.held(), 0);
        prop_assert!(budget.try_acquire(&app(0), 8 << 20).is_some());
    }
}

#[test]
fn memory_of_one_class_is_given_back_when_another_needs_it() {
    let pool = Pool::new(Budget::new(4 << 20));
    drop((0..4).map(|_| take(&pool, 1 << 20, 0).expect("fits")).collect::<Vec<_>>());
    assert_eq!(pool.mapped(), 4 << 20);
    let large = take(&pool, 3 << 20, 0).expect("fits");
    assert_eq!(pool.mapped(), 4 << 20);
    drop(large);
    drop(take(&pool, 1 << 20, 0).expect("fits"));
    assert_eq!(pool.mapped(), 4 << 20);
}

#[test]
fn several_slots_are_given_back_at_a_time_if_they_follow_each_other() {
    let pool = Pool::new(Budget::new(8 << 20));
    let mut small: Vec<_> = (0..512).map(|_| take(&pool, 16 << 10, 0).expect("fits")).collect();
    // All but the fifth from the end are kept.
    let held = small.remove(507);
    drop(small);
    drop(take(&pool, 20 << 10, 0).expect("fits"));
    assert_eq!(pool.mapped(), (8 << 20) - (64 << 10) + (20 << 10), "the four behind the one that is held");
    drop(held);
    drop(take(&pool, 80 << 10, 0).expect("fits"));
    assert_eq!(pool.mapped(), (8 << 20) - (44 << 10) - (128 << 10) + (80 << 10), "and eight of the others");
}

#[test]
fn a_freed_buffer_is_the_next_one_of_its_size() {
    let pool = Pool::new(Budget::new(64 << 20));
    let first = take(&pool, 1 << 20, 0).expect("fits").as_ptr();
    assert_eq!(take(&pool, 1 << 20, 0).expect("fits").as_ptr(), first);
}

#[test]
fn a_large_request_is_not_overtaken_by_a_small_one() {
    let (budget, app) = (Budget::new(100), app(0));
    let held = budget.try_acquire(&app, 60).expect("there");
    let mut context = Context::from_waker(std::task::Waker::noop());
    let mut large = Box::pin(budget.acquire(&app, 80));
    assert!(large.as_mut().poll(&mut context).is_pending());
    assert_eq!(budget.wanted(), 80);
    let mut small = Box::pin(budget.acquire(&app, 10));
    assert!(small.as_mut().poll(&mut context).is_pending());
    assert!(budget.try_acquire(&app, 1).is_none());
    drop(held);
    assert!(large.as_mut().poll(&mut context).is_ready());
    assert!(small.as_mut().poll(&mut context).is_ready());
}

#[test]
fn a_request_that_is_given_up_leaves_nothing_behind() {
    let (budget, app) = (Budget::new(100), app(0));
    let held = budget.try_acquire(&app, 60).expect("there");
    let mut waiting = Box::pin(budget.acquire(&app, 80));
    assert!(waiting.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop())).is_pending());
    drop(waiting);
    assert_eq!(budget.wanted(), 0);
    drop(held);
    assert!(budget.try_acquire(&app, 100).is_some());
}

#[tokio::test]
async fn more_than_the_budget_is_refused_and_closing_wakes_who_waits() {
    let (budget, app) = (Budget::new(100), app(0));
    assert_eq!(budget.acquire(&app, 101).await.expect_err("too much").kind(), ErrorKind::Invalid);
    let _held = budget.try_acquire(&app, 100).expect("there");
    let mut waiting = Box::pin(budget.acquire(&app, 1));
    assert!(waiting.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop())).is_pending());
    budget.close();
    assert_eq!(waiting.await.expect_err("closed").kind(), ErrorKind::Closed);
}

#[test]
fn the_longest_body_has_a_buffer() {
    let pool = Pool::new(Budget::new(MAX_BODY as u64));
    assert_eq!(take(&pool, MAX_BODY, 0).expect("fits").len(), MAX_BODY);
}

type Request = Pin<Box<dyn Future<Output = overhand_common::Result<Permit>>>>;

/// A request that was made, and waits.
fn request(budget: &Budget, who: usize, bytes: u32) -> Request {
    let (budget, app) = (budget.clone(), app(who));
    let mut request: Request = Box::pin(async move { budget.acquire(&app, bytes).await });
    assert!(poll(&mut request).is_none(), "there is no room");
    request
}

fn poll(request: &mut Request) -> Option<Permit> {
    let mut context = Context::from_waker(std::task::Waker::noop());
    match request.as_mut().poll(&mut context) {
        std::task::Poll::Ready(granted) => Some(granted.expect("not closed")),
        std::task::Poll::Pending => None,
    }
}

#[test]
fn an_application_that_floods_does_not_starve_another() {
    let budget = Budget::new(100);
    let mut held: Vec<Permit> = (0..10).map(|_| budget.try_acquire(&app(0), 10).expect("there")).collect();
    let mut flood: Vec<Request> = (0..50).map(|_| request(&budget, 0, 10)).collect();
    for _ in 0..20 {
        let mut other = request(&budget, 1, 10);
        // The first memory that comes back is its own, however many of the others came before.
        held.pop().expect("there");
        let permit = poll(&mut other).expect("it holds the least");
        assert!(flood.iter_mut().all(|request| poll(request).is_none()));
        drop(permit);
        let granted: Vec<Permit> = flood.iter_mut().take(1).filter_map(poll).collect();
        assert_eq!(granted.len(), 1, "what it gives back goes to who waits, in order");
        drop(flood.remove(0));
        held.extend(granted);
    }
}

#[test]
fn a_request_that_is_given_up_lets_those_behind_it_through() {
    let budget = Budget::new(100);
    let held = budget.try_acquire(&app(0), 60).expect("there");
    let large = request(&budget, 1, 80);
    let mut small = request(&budget, 1, 10);
    drop(large);
    assert!(poll(&mut small).is_some());
    // A grant that nobody took comes back.
    let granted = request(&budget, 2, 50);
    drop(small);
    drop(held);
    drop(granted);
    assert_eq!((budget.held(), budget.wanted()), (0, 0));
    assert!(budget.try_acquire(&app(3), 100).is_some());
}

/// What the rule says, in the plainest way.
#[derive(Default)]
struct Rule {
    held: [u64; 3],
    /// Application, bytes and number, in order of arrival.
    waiting: Vec<(usize, u32, usize)>,
}

impl Rule {
    fn free(&self) -> u64 {
        100 - self.held.iter().sum::<u64>()
    }

    /// Who is granted now.
    fn granted(&mut self) -> Vec<usize> {
        let mut granted = vec![];
        loop {
            let next = (0..self.waiting.len()).min_by_key(|at| (self.held[self.waiting[*at].0], *at));
            match next {
                Some(at) if u64::from(self.waiting[at].1) <= self.free() => {
                    let (who, bytes, number) = self.waiting.remove(at);
                    self.held[who] += u64::from(bytes);
                    granted.push(number);
                }
                _ => return granted,
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn memory_goes_to_who_holds_the_least_and_nobody_is_forgotten(
        steps in prop::collection::vec((0usize..4, 0usize..3, 0u32..=100, any::<prop::sample::Index>()), 1..80),
    ) {
        let (budget, mut rule) = (Budget::new(100), Rule::default());
        let mut waiting: Vec<(usize, Request)> = vec![];
        let mut held: Vec<(usize, Permit)> = vec![];
        for (number, (kind, who, bytes, which)) in steps.into_iter().enumerate() {
            match kind {
                0 if !held.is_empty() => {
                    let (who, permit) = held.swap_remove(which.index(held.len()));
                    rule.held[who] -= u64::from(permit.bytes());
                }
                1 if !waiting.is_empty() => {
                    let (number, _) = waiting.remove(which.index(waiting.len()));
                    rule.waiting.retain(|(_, _, waits)| *waits != number);
                }
                _ => {
                    let (budget, app) = (budget.clone(), app(who));
                    waiting.push((number, Box::pin(async move { budget.acquire(&app, bytes).await })));
                    rule.waiting.push((who, bytes, number));
                    if let Some(permit) = poll(&mut waiting.last_mut().expect("just pushed").1) {
                        held.push((who, permit));
                        waiting.pop();
                        prop_assert!(rule.granted().contains(&number));
                    }
                }
            }
            let asked: Vec<(usize, usize)> = rule.waiting.iter().map(|(who, _, number)| (*number, *who)).collect();
            let expected = rule.granted();
            let mut granted = vec![];
            waiting.retain_mut(|(number, request)| {
                let Some(permit) = poll(request) else { return true };
                let (_, who) = asked.iter().find(|(asked, _)| asked == number).expect("it waited");
                held.push((*who, permit));
                granted.push(*number);
                false
            });
            let (mut expected, mut found) = (expected, granted);
            expected.sort_unstable();
            found.sort_unstable();
            prop_assert_eq!(found, expected);
            prop_assert_eq!(budget.held(), rule.held.iter().sum::<u64>());
            prop_assert_eq!(budget.wanted(), rule.waiting.iter().map(|(_, bytes, _)| u64::from(*bytes)).sum::<u64>());
        }
        drop((waiting, held));
        prop_assert_eq!((budget.held(), budget.wanted()), (0, 0));
        prop_assert!(budget.try_acquire(&app(0), 100).is_some());
    }
}
