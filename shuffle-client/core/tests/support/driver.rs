//! A driver that moves shards between the workers that it knows, and counts the questions.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
};

use overhand_client::{AppId, Driver, Epoch, Error, ErrorKind, Place, Placement, Result, Trouble, WorkerId};

/// What it was asked, and what it makes of it.
#[derive(Debug)]
pub struct TestDriver {
    placement: Mutex<Placement>,
    places: Vec<Place>,
    replicas: usize,
    pub asked: Mutex<Vec<Trouble>>,
    suspects: Mutex<HashSet<WorkerId>>,
    /// Takes as long as this for each answer.
    pub slow: std::time::Duration,
}

impl TestDriver {
    /// All shards on the first `replicas` of `places`; later epochs on any.
    pub fn new(partitions: u32, shards: u32, places: Vec<Place>, replicas: usize) -> Self {
        let mut placement = (*super::placement("nowhere:1", 1, partitions, shards)).clone();
        for epochs in &mut placement.shards {
            *epochs = vec![Epoch { epoch: 0, chain: places[..replicas].to_vec() }];
        }
        placement.version = 1;
        Self {
            placement: Mutex::new(placement),
            places,
            replicas,
            asked: Mutex::default(),
            suspects: Mutex::default(),
            slow: std::time::Duration::ZERO,
        }
    }

    pub fn placement(&self) -> Arc<Placement> {
        Arc::new(self.placement.lock().expect("no panic").clone())
    }

    pub fn questions(&self) -> usize {
        self.asked.lock().expect("no panic").len()
    }

    fn move_shard(&self, placement: &mut Placement, shard: usize) -> Result<()> {
        let suspects = self.suspects.lock().expect("no panic");
        let newest = placement.shards[shard].last().expect("one at least").clone();
        let mut places: Vec<Place> =
            self.places.iter().filter(|place| !suspects.contains(&place.worker)).cloned().collect();
        if places.is_empty() {
            return Err(Error::new(ErrorKind::Retry, "no worker is left"));
        }
        // Others than before first.
        places.sort_by_key(|place| newest.chain.contains(place));
        places.truncate(self.replicas);
        placement.shards[shard].push(Epoch { epoch: newest.epoch + 1, chain: places });
        Ok(())
    }
}

impl Driver for TestDriver {
    fn ask(&self, _app: &AppId, _shuffle: u32, trouble: &Trouble) -> Result<Placement> {
        self.asked.lock().expect("no panic").push(trouble.clone());
        std::thread::sleep(self.slow);
        let mut placement = self.placement.lock().expect("no panic");
        let is_newest = |placement: &Placement, shard: u32, epoch: u32| placement.current(shard).epoch <= epoch;
        match trouble {
            Trouble::Broken { shard, epoch, suspect, .. } if is_newest(&placement, *shard, *epoch) => {
                self.suspects.lock().expect("no panic").extend(*suspect);
                for at in 0..placement.shards.len() {
                    let chain = &placement.current(at as u32).chain;
                    let hit = chain.iter().any(|place| Some(place.worker) == *suspect);
                    if at as u32 == *shard || hit {
                        self.move_shard(&mut placement, at)?;
                    }
                }
                placement.version += 1;
            }
            Trouble::Split { shard, epoch } if is_newest(&placement, *shard, *epoch) => {
                self.move_shard(&mut placement, *shard as usize)?;
                placement.version += 1;
            }
            _ => {}
        }
        Ok(placement.clone())
    }
}
