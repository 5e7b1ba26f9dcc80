//! Tells the peer that its requests are not forgotten: while an answer is owed and nothing is sent, a connection says
//! [`Kind::Busy`] each second, whatever its reader waits for. Since version 2 of the protocol.

use std::{convert::Infallible, future::Future, pin::pin, sync::Arc, time::Duration};

use overhand_common::message::{Kind, message};
use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Instant, sleep, sleep_until},
};

use super::{
    Broken,
    output::{Output, Turn},
};

/// How long a connection that owes something is quiet at most.
const PERIOD: Duration = Duration::from_secs(1);

/// What a connection owes.
#[derive(Debug, Default)]
pub struct Owing {
    state: Mutex<State>,
    news: Notify,
}

#[derive(Debug, Default)]
struct State {
    count: usize,
    /// Since when something is owed without a break.
    since: Option<Instant>,
}

/// Something that a connection owes, until this is dropped.
#[derive(Debug)]
pub struct Owed(Arc<Owing>);

impl Owing {
    /// From now on one answer more is owed.
    pub fn owe(self: &Arc<Self>) -> Owed {
        let mut state = self.state.lock();
        state.count += 1;
        if state.count == 1 {
            state.since = Some(Instant::now());
            self.news.notify_one();
        }
        Owed(self.clone())
    }

    fn since(&self) -> Option<Instant> {
        self.state.lock().since
    }

    /// Says so on `output` while something is owed and nothing else is sent. It goes on until it is dropped.
    pub async fn beat(&self, output: &Output, version: u16) -> Infallible {
        if version < 2 {
            return std::future::pending().await;
        }
        loop {
            let Some(since) = self.since() else {
                self.news.notified().await;
                continue;
            };
            let due = since.max(output.spoke()) + PERIOD;
            if Instant::now() < due {
                sleep_until(due).await;
            } else if output.send(&busy()).await.is_err() {
                // Whoever has an answer to send finds the socket broken too, and that is told there.
                return std::future::pending().await;
            }
        }
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.count -= 1;
        if state.count == 0 {
            state.since = None;
        }
    }
}

/// What `future` gives. Its caller has the turn to send, so nobody else can say meanwhile that the connection is alive.
pub async fn meanwhile<T>(turn: &mut Turn<'_>, version: u16, future: impl Future<Output = T>) -> Result<T, Broken> {
    let mut future = pin!(future);
    loop {
        tokio::select! {
            biased;
            value = &mut future => return Ok(value),
            () = sleep(PERIOD), if version >= 2 => turn.send_head(&busy()).await?,
        }
    }
}

fn busy() -> Vec<u8> {
    message(Kind::Busy, 0, &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn something_is_owed_from_the_first_request_to_the_last_answer() {
        let owing = Arc::new(Owing::default());
        assert!(owing.since().is_none());
        let first = owing.owe();
        let since = owing.since();
        let second = owing.owe();
        drop(first);
        assert_eq!(owing.since(), since);
        drop(second);
        assert!(owing.since().is_none());
    }
}
