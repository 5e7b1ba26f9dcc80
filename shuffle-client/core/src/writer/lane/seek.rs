//! The next epoch of a shard, asked for by one task of a lane.

use std::{sync::Arc, time::Duration};

use super::{Lane, State};
use crate::{Error, ErrorKind, Placement, Result, Trouble};

/// Before the driver is asked again about epochs that took nothing, doubled each time.
const REST: Duration = Duration::from_millis(50);
/// The longest of these.
const LONGEST_REST: Duration = Duration::from_secs(2);
/// Newer placements without a newer epoch of the shard that are taken for what they say: other shards' moves.
const MAX_OTHERS: u32 = 1 << 10;

impl Lane {
    /// Asks until there is no trouble left, or fails the flow.
    pub(super) async fn seek(self: Arc<Self>) {
        let mut others = 0;
        while let Some((seen, trouble, rest)) = self.next_question() {
            tokio::time::sleep(rest).await;
            let answer = self.client.placements.ask(&seen, trouble.clone()).await;
            let taken = match answer {
                Ok(answer) => self.take_answer(&seen, &trouble, answer, &mut others),
                Err(error) => self.take_refusal(&trouble, error),
            };
            if let Err(error) = taken {
                self.flow.fail(error);
                return;
            }
        }
    }

    /// What to ask, of which placement, and how long to wait before; none if there is no trouble or nobody cares.
    fn next_question(&self) -> Option<(Arc<Placement>, Trouble, Duration)> {
        let mut state = self.state.lock();
        let trouble = state.trouble.clone().filter(|_| self.flow.failure().is_none());
        let Some(trouble) = trouble else {
            state.seeking = false;
            return None;
        };
        let rest = match state.barren {
            0 | 1 => Duration::ZERO,
            barren => LONGEST_REST.min(REST * (1 << (barren - 2).min(10))),
        };
        Some((Arc::clone(&state.placement), trouble, rest))
    }

    /// Goes on in the newest epoch if there is a newer one. A lane that only heard that its epoch is too large goes on
    /// there if there is none.
    fn take_answer(
        self: &Arc<Self>,
        seen: &Placement,
        asked: &Trouble,
        answer: Arc<Placement>,
        others: &mut u32,
    ) -> Result<()> {
        let mut state = self.state.lock();
        let is_news = answer.version > seen.version;
        if answer.version > state.placement.version {
            state.placement = answer;
        }
        if state.placement.current(self.shard).epoch > self.epoch(&state) {
            state.trouble = None;
            *others = 0;
            if state.legs.is_stuck() || !state.legs.is_closed() {
                self.open(&mut state);
                self.go_on(&mut state);
            }
            return Ok(());
        }
        *others += 1;
        match asked {
            _ if is_news && *others < MAX_OTHERS => Ok(()),
            Trouble::Split { .. } => self.drop_split(&mut state, asked),
            _ => Err(self.lost(&state, "the driver has opened no other epoch")),
        }
    }

    fn take_refusal(&self, asked: &Trouble, error: Error) -> Result<()> {
        let mut state = self.state.lock();
        match asked {
            Trouble::Split { .. } => {
                tracing::debug!(shard = self.shard, %error, "a shard that has grown too large was not split");
                self.drop_split(&mut state, asked)
            }
            _ => Err(Error::new(error.kind(), self.lost(&state, error.message()).message())),
        }
    }

    /// What has broken meanwhile is still in trouble.
    fn drop_split(&self, state: &mut State, asked: &Trouble) -> Result<()> {
        state.trouble.take_if(|trouble| trouble == asked);
        Ok(())
    }

    fn epoch(&self, state: &State) -> u32 {
        state.routes.last().expect("a lane starts with one").key().epoch
    }

    fn lost(&self, state: &State, problem: &str) -> Error {
        let key = state.routes.last().expect("a lane starts with one").key();
        let why = match &state.trouble {
            Some(Trouble::Broken { why, .. }) => why,
            _ => "its chain broke",
        };
        Error::new(ErrorKind::Broken, format!("{key} takes no data ({why}), and there is no other epoch: {problem}"))
    }
}
