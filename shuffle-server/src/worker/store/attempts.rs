//! How far the attempts came that write to a shard's epoch.

use std::{collections::HashMap, sync::Arc};

use overhand_common::{
    Error, ErrorKind, Result,
    ids::Attempt,
    message::{Fin, Last, Push},
};

use super::frame::Mark;

/// The attempts of a shard's epoch.
#[derive(Debug, Default)]
pub struct Attempts {
    all: HashMap<Attempt, Progress>,
}

/// How far an attempt came.
#[derive(Debug, Default)]
struct Progress {
    /// All frames that are here; of one that is committed, those that count.
    sums: Fin,
    /// While it is not committed: the sums after each frame, because any number of frames may turn out to count.
    after: Vec<Fin>,
    mark: Arc<Mark>,
    /// Whether an index has its commit.
    indexed: bool,
}

impl Attempts {
    /// Whether a frame is here already. Refuses one that can't be taken.
    pub fn has(&self, push: &Push) -> Result<bool> {
        let Some(progress) = self.all.get(&push.attempt) else {
            if push.frame == 0 {
                return Ok(false);
            }
            return refused(push, ErrorKind::Retry, "it is the first that came; frame 0 is expected");
        };
        if progress.mark.is_dropped() {
            return refused(push, ErrorKind::Invalid, DROPPED);
        }
        let next = progress.sums.frames;
        if push.frame < next {
            return Ok(true);
        }
        if progress.mark.is_committed() {
            return refused(push, ErrorKind::Invalid, format!("the attempt was committed with {next} frames"));
        }
        if push.frame > next {
            return refused(push, ErrorKind::Retry, format!("it came too early; frame {next} is expected"));
        }
        Ok(false)
    }

    /// Counts an attempt's next frame, which adds `frame`; returns the attempt's mark. The last one commits the attempt;
    /// if it does not match what came, the attempt is dropped instead.
    pub fn count(&mut self, push: &Push, frame: &Fin) -> Result<Arc<Mark>> {
        let progress = self.all.entry(push.attempt).or_default();
        let sums = join(&progress.sums, frame);
        match &push.last {
            Some(last) if *last.fin() != sums => {
                progress.mark.drop_attempt();
                progress.after = vec![];
                let text = format!("it is the last and says {last:?}, {sums:?} came: the attempt is dropped");
                return refused(push, ErrorKind::Invalid, text);
            }
            Some(_) => progress.commit(sums),
            None => {
                progress.sums = sums;
                progress.after.push(sums);
            }
        }
        Ok(progress.mark.clone())
    }

    /// Commits an attempt of which the frames count that `fin` says; whether that is new. `DataLost` if they are not all
    /// here: another worker of the chain may have them.
    pub fn settle(&mut self, push: &Push, fin: &Fin) -> Result<bool> {
        let Some(progress) = self.all.get_mut(&push.attempt) else {
            return refused(push, ErrorKind::DataLost, "nothing of the attempt is here");
        };
        if progress.mark.is_dropped() {
            return refused(push, ErrorKind::DataLost, DROPPED);
        }
        let here = progress.sums.frames;
        if fin.frames > here {
            let text = format!("{} frames of the attempt count, {here} are here", fin.frames);
            return refused(push, ErrorKind::DataLost, text);
        }
        if progress.mark.is_committed() {
            // The sums of fewer frames are not kept; those were found whole together with the others.
            if fin.frames == here && *fin != progress.sums {
                return refused(push, ErrorKind::DataLost, mismatch(fin, &progress.sums));
            }
            return Ok(false);
        }
        let Some(sums) = fin.frames.checked_sub(1).and_then(|last| progress.after.get(last as usize)) else {
            return refused(push, ErrorKind::Invalid, "no frame counts, so there is nothing to settle");
        };
        if sums != fin {
            return refused(push, ErrorKind::DataLost, mismatch(fin, sums));
        }
        progress.commit(*fin);
        Ok(true)
    }

    /// Whether an index has the commit of `attempt`.
    pub fn is_indexed(&self, attempt: Attempt) -> bool {
        self.all.get(&attempt).is_some_and(|progress| progress.indexed)
    }

    /// An index has the commit of `attempt`.
    pub fn indexed(&mut self, attempt: &Attempt) {
        if let Some(progress) = self.all.get_mut(attempt) {
            progress.indexed = true;
        }
    }

    /// How many are committed.
    pub fn commits(&self) -> u64 {
        self.all.values().filter(|progress| progress.mark.is_committed()).count() as u64
    }

    /// Those that are neither committed nor dropped, with the sums after each of their frames.
    pub fn under_way(&self) -> impl Iterator<Item = (Attempt, &[Fin])> {
        let under_way = self.all.iter().filter(|(_, progress)| !progress.after.is_empty());
        under_way.map(|(attempt, progress)| (*attempt, progress.after.as_slice()))
    }

    /// A commit that was found in an index.
    pub fn recover_commit(&mut self, attempt: Attempt, sums: Fin) {
        let mut progress = Progress { indexed: true, ..Progress::default() };
        progress.commit(sums);
        self.all.insert(attempt, progress);
    }

    /// An attempt that was under way when the store was closed, with the sums after each of its frames.
    pub fn recover_progress(&mut self, attempt: Attempt, after: Vec<Fin>) {
        let sums = after.last().copied().unwrap_or_default();
        self.all.entry(attempt).or_insert(Progress { sums, after, ..Progress::default() });
    }
}

impl Progress {
    fn commit(&mut self, sums: Fin) {
        self.sums = sums;
        self.after = vec![];
        self.mark.commit();
    }
}

const DROPPED: &str = "the attempt was dropped, because its last frame did not match";

fn refused<T>(push: &Push, kind: ErrorKind, what: impl std::fmt::Display) -> Result<T> {
    let settles = matches!(push.last, Some(Last::Settled(_)));
    let frame = if settles { "settling".to_owned() } else { format!("frame {}", push.frame) };
    Err(Error::new(kind, format!("{} {} {frame}: {what}", push.key, push.attempt)))
}

fn mismatch(said: &Fin, here: &Fin) -> String {
    format!("the frames that count add up to {said:?}, those that are here to {here:?}")
}

fn join(a: &Fin, b: &Fin) -> Fin {
    Fin {
        frames: a.frames + b.frames,
        blocks: a.blocks + b.blocks,
        bytes: a.bytes + b.bytes,
        crc_xor: a.crc_xor ^ b.crc_xor,
    }
}
