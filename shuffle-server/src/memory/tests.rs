use std::{future::Future, task::Context};

use overhand_common::{ErrorKind, message::MAX_BODY};
use proptest::prelude::*;

use super::*;

fn take(pool: &Pool, len: usize, overhead: usize) -> Option<PooledBuf> {
    let permit = pool.budget().try_acquire(Pool::charge(len, overhead).expect("small"))?;
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
        prop_assert!(budget.try_acquire(8 << 20).is_some());
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
fn a_freed_buffer_is_the_next_one_of_its_size() {
    let pool = Pool::new(Budget::new(64 << 20));
    let first = take(&pool, 1 << 20, 0).expect("fits").as_ptr();
    assert_eq!(take(&pool, 1 << 20, 0).expect("fits").as_ptr(), first);
}

#[test]
fn a_large_request_is_not_overtaken_by_a_small_one() {
    let budget = Budget::new(100);
    let held = budget.try_acquire(60).expect("there");
    let mut context = Context::from_waker(std::task::Waker::noop());
    let mut large = Box::pin(budget.acquire(80));
    assert!(large.as_mut().poll(&mut context).is_pending());
    assert_eq!(budget.wanted(), 80);
    let mut small = Box::pin(budget.acquire(10));
    assert!(small.as_mut().poll(&mut context).is_pending());
    assert!(budget.try_acquire(1).is_none());
    drop(held);
    assert!(large.as_mut().poll(&mut context).is_ready());
    assert!(small.as_mut().poll(&mut context).is_ready());
}

#[test]
fn a_request_that_is_given_up_leaves_nothing_behind() {
    let budget = Budget::new(100);
    let held = budget.try_acquire(60).expect("there");
    let mut waiting = Box::pin(budget.acquire(80));
    assert!(waiting.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop())).is_pending());
    drop(waiting);
    assert_eq!(budget.wanted(), 0);
    drop(held);
    assert!(budget.try_acquire(100).is_some());
}

#[tokio::test]
async fn more_than_the_budget_is_refused_and_closing_wakes_who_waits() {
    let budget = Budget::new(100);
    assert_eq!(budget.acquire(101).await.expect_err("too much").kind(), ErrorKind::Invalid);
    let _held = budget.try_acquire(100).expect("there");
    let mut waiting = Box::pin(budget.acquire(1));
    assert!(waiting.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop())).is_pending());
    budget.close();
    assert_eq!(waiting.await.expect_err("closed").kind(), ErrorKind::Closed);
}

#[test]
fn the_longest_body_has_a_buffer() {
    let pool = Pool::new(Budget::new(MAX_BODY as u64));
    assert_eq!(take(&pool, MAX_BODY, 0).expect("fits").len(), MAX_BODY);
}
