//! The newest placements that a client knows, and the one question at a time that it asks the driver about each.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::Mutex as Turn;

use crate::{
    AppId, Driver, Error, ErrorKind, Placement, Result, Trouble,
    client::{Tally, count},
};

/// With so many shuffles known, those that nobody uses now are forgotten.
const MANY: usize = 1 << 10;

/// What a client knows of the shuffles that it works for.
#[derive(Debug)]
pub(crate) struct Placements {
    driver: Option<Arc<dyn Driver>>,
    tally: Arc<Tally>,
    shuffles: Mutex<HashMap<(AppId, u32), Arc<Known>>>,
}

/// What is known of one shuffle.
#[derive(Debug, Default)]
struct Known {
    /// What the driver answered last.
    newest: Mutex<Option<Arc<Placement>>>,
    /// Who asks; the others wait for the same answer.
    asking: Turn<()>,
}

impl Placements {
    pub(crate) fn new(driver: Option<Arc<dyn Driver>>, tally: Arc<Tally>) -> Self {
        Self { driver, tally, shuffles: Mutex::default() }
    }

    /// Whether there is anybody to ask.
    pub(crate) fn can_ask(&self) -> bool {
        self.driver.is_some()
    }

    /// The newest placement of a shuffle that is known here: `given`, or one that came later.
    pub(crate) fn newest(&self, given: &Arc<Placement>) -> Arc<Placement> {
        let shuffles = self.shuffles.lock();
        let known = shuffles.get(&(given.app.clone(), given.shuffle));
        known.map_or_else(|| Arc::clone(given), |known| known.newer(given))
    }

    /// Tells the driver what is wrong with `seen` and returns what it makes of it; what is known to be newer than
    /// `seen` is returned without a question.
    ///
    /// # Errors
    /// `Broken` if there is no driver to ask; else as of [`Driver::ask`].
    pub(crate) async fn ask(&self, seen: &Arc<Placement>, trouble: Trouble) -> Result<Arc<Placement>> {
        let Some(driver) = &self.driver else {
            return Err(Error::new(ErrorKind::Broken, "there is no driver to ask for another placement"));
        };
        let known = self.known(seen);
        let _turn = known.asking.lock().await;
        let newest = known.newer(seen);
        if newest.version > seen.version {
            return Ok(newest);
        }
        count(&self.tally.driver_calls);
        let (driver, app, shuffle) = (Arc::clone(driver), seen.app.clone(), seen.shuffle);
        let asked = tokio::task::spawn_blocking(move || driver.ask(&app, shuffle, &trouble)).await;
        let answer =
            asked.map_err(|error| Error::new(ErrorKind::Internal, format!("asking the driver: {error}")))??;
        if (&answer.app, answer.shuffle, answer.layout) != (&seen.app, seen.shuffle, seen.layout) {
            return Err(Error::new(
                ErrorKind::Internal,
                format!("the driver answered with another shuffle: {answer:?}"),
            ));
        }
        let answer = Arc::new(answer);
        *known.newest.lock() = Some(Arc::clone(&answer));
        Ok(answer)
    }

    fn known(&self, placement: &Placement) -> Arc<Known> {
        let mut shuffles = self.shuffles.lock();
        if let Some(known) = shuffles.get(&(placement.app.clone(), placement.shuffle)) {
            return Arc::clone(known);
        }
        if shuffles.len() >= MANY {
            let in_use = |placement: &Arc<Placement>| Arc::strong_count(placement) > 1;
            shuffles
                .retain(|_, known| Arc::strong_count(known) > 1 || known.newest.lock().as_ref().is_some_and(in_use));
        }
        Arc::clone(shuffles.entry((placement.app.clone(), placement.shuffle)).or_default())
    }
}

impl Known {
    /// The newer one of `placement` and what the driver answered last.
    fn newer(&self, placement: &Arc<Placement>) -> Arc<Placement> {
        match &*self.newest.lock() {
            Some(known) if known.version > placement.version => Arc::clone(known),
            _ => Arc::clone(placement),
        }
    }
}
