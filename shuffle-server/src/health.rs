//! What works and what does not: every part with a name says it here, `/healthz` and `/readyz` tell it.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// The state of a process's parts.
#[derive(Debug, Clone, Default)]
pub struct Health {
    parts: Arc<Mutex<BTreeMap<String, State>>>,
    changed: Arc<Notify>,
}

#[derive(Debug, Clone, Default)]
struct State {
    problem: Option<String>,
    fatal: bool,
}

/// The place where one part says how it is.
#[derive(Debug, Clone)]
pub struct Part {
    health: Health,
    name: String,
}

impl Health {
    /// A part by this name, which is not good before it says so.
    pub fn part(&self, name: impl Into<String>) -> Part {
        let part = Part { health: self.clone(), name: name.into() };
        part.bad("it has not begun yet");
        part
    }

    /// What stands in the way of serving, a line for each part; empty when all is good.
    pub fn problems(&self) -> Vec<String> {
        self.list(|_| true)
    }

    /// What will not get well by itself.
    pub fn fatal(&self) -> Vec<String> {
        self.list(|state| state.fatal)
    }

    fn list(&self, wanted: impl Fn(&State) -> bool) -> Vec<String> {
        let parts = self.parts.lock();
        let bad = parts.iter().filter(|(_, state)| wanted(state));
        bad.filter_map(|(name, state)| Some(format!("{name}: {}", state.problem.as_ref()?))).collect()
    }

    fn set(&self, name: &str, state: State) {
        let mut parts = self.parts.lock();
        match parts.get_mut(name) {
            Some(known) if known.fatal => {}
            Some(known) => *known = state,
            None => {
                parts.insert(name.to_owned(), state);
            }
        }
        self.changed.notify_waiters();
    }
}

impl Part {
    /// All is well.
    pub fn good(&self) {
        self.health.set(&self.name, State::default());
    }

    /// Something is not, and may get well again.
    pub fn bad(&self, problem: impl Into<String>) {
        self.health.set(&self.name, State { problem: Some(problem.into()), fatal: false });
    }

    /// What is not well here, if anything.
    pub fn problem(&self) -> Option<String> {
        self.health.parts.lock().get(&self.name).and_then(|state| state.problem.clone())
    }

    /// Waits until all is well here.
    pub async fn until_good(&self) {
        loop {
            let changed = self.health.changed.notified();
            if self.problem().is_none() {
                return;
            }
            changed.await;
        }
    }

    /// Something broke for good: the process should be replaced.
    pub fn dead(&self, problem: impl Into<String>) {
        self.health.set(&self.name, State { problem: Some(problem.into()), fatal: true });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_not_good_before_it_says_so_and_never_after_it_died() {
        let health = Health::default();
        let (disk, net) = (health.part("disk"), health.part("net"));
        assert_eq!(health.problems().len(), 2);
        disk.good();
        net.good();
        assert!(health.problems().is_empty());
        disk.bad("full");
        assert_eq!((health.problems(), health.fatal()), (vec!["disk: full".to_owned()], vec![]));
        disk.good();
        net.dead("panicked");
        net.good();
        assert_eq!(health.problems(), ["net: panicked"]);
        assert_eq!(health.fatal(), ["net: panicked"]);
    }
}
