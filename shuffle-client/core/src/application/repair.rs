//! Does what `plan` calls for: tells workers to copy and to forget, a few at a time.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use overhand_common::message::Replicate;
use tokio::{task::JoinSet, time::sleep_until};

use super::{Shared, lease::Lease, orders::Orders, work::Job};
use crate::Result;

/// Copies that run at a time.
const AT_A_TIME: usize = 2;
/// Nothing is due: something will wake us.
const LONG: Duration = Duration::from_secs(3600);

/// Keeps the chains as they should be, for ever. It is woken by what the coordinators say, by what tasks complain about,
/// and when a silent worker becomes a lost one or a failed copy may be tried again.
pub(super) async fn keep(shared: Arc<Shared>, orders: Arc<Orders>, lease: Arc<Lease>) {
    let mut running = JoinSet::new();
    loop {
        let due = {
            let now = Instant::now();
            let mut state = shared.state.lock();
            orders.set_token(&lease.token().0);
            state.follow(now);
            while running.len() < AT_A_TIME
                && let Some(job) = state.next_job(now)
            {
                running.spawn(work(Arc::clone(&shared), Arc::clone(&orders), job));
            }
            state.next_due(now).unwrap_or(now + LONG)
        };
        tokio::select! {
            () = shared.changed.notified() => {}
            Some(_) = running.join_next() => {}
            () = sleep_until(due.into()) => {}
        }
    }
}

async fn work(shared: Arc<Shared>, orders: Arc<Orders>, job: Job) {
    match job {
        Job::Copy(copy) => {
            let what = Replicate { key: copy.key, layout: copy.layout, from: copy.from.clone() };
            let done = orders.copy(&copy.to, &what).await;
            if let Err(error) = &done {
                let (from, to) = (&copy.from.address, &copy.to.address);
                tracing::warn!(key = %copy.key, from, to, %error, "an epoch was not copied");
            }
            let stray = shared.state.lock().copied(&copy, done.is_ok(), Instant::now());
            if stray {
                log(orders.remove(copy.key.shuffle, vec![copy.to.clone()]).await);
            }
        }
        Job::Forget(forget) => {
            let done = orders.forget(&forget.at, forget.key).await;
            match &done {
                Ok(()) => tracing::info!(key = %forget.key, worker = forget.at.address, "a drained copy was deleted"),
                Err(_) => log(done.clone()),
            }
            shared.state.lock().forgot(&forget, done.is_ok(), Instant::now());
        }
    }
}

fn log(done: Result<()>) {
    if let Err(error) = done {
        tracing::warn!(%error, "a worker did not delete what is of no more use");
    }
}
