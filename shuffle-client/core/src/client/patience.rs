//! How long a call of the engine's own thread waits.

use std::{fmt, time::Duration};

use parking_lot::{Condvar, MutexGuard};

use super::Interrupt;
use crate::{Error, ErrorKind, Result};

/// Between two questions whether to go on waiting.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// Waits for ever, or until an [`Interrupt`] says so.
#[derive(Clone, Default)]
pub(crate) struct Patience(Option<Interrupt>);

impl fmt::Debug for Patience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Patience(until interrupted)" } else { "Patience(endless)" })
    }
}

impl Patience {
    /// Patience that ends when `interrupt` says so.
    pub(crate) fn until(interrupt: Interrupt) -> Self {
        Self(Some(interrupt))
    }

    /// Waits on `changed` for as long as `waits`.
    ///
    /// # Errors
    /// `Closed` if the task was interrupted.
    pub(crate) fn wait_while<T>(
        &self,
        changed: &Condvar,
        guard: &mut MutexGuard<'_, T>,
        mut waits: impl FnMut(&mut T) -> bool,
    ) -> Result<()> {
        let Some(interrupt) = &self.0 else {
            changed.wait_while(guard, waits);
            return Ok(());
        };
        while waits(guard) {
            // Not locked meanwhile: it is the engine's code.
            if changed.wait_for(guard, ASK_EVERY).timed_out() && MutexGuard::unlocked(guard, || interrupt()) {
                return Err(Error::new(ErrorKind::Closed, "the task was interrupted"));
            }
        }
        Ok(())
    }
}
