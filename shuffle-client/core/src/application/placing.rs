//! Which workers the shards of a shuffle go to.

use overhand_proto::v1::WorkerInfo;

use crate::{Epoch, Error, ErrorKind, Layout, Place, Result, WorkerId};

/// With fewer partitions a further shard costs more (a frame and a commit for each map task) than it brings.
const PARTITIONS_PER_SHARD: u32 = 128;
const SHARDS_PER_WORKER: u32 = 2;
/// A worker whose memory is used this far gets new shuffles only if all are.
const BUSY: f64 = 0.9;

/// Splits `partitions` into shards and puts each on a worker that takes new data, the shuffles in turn starting at
/// different ones.
pub(super) fn place(workers: &[WorkerInfo], shuffle: u32, partitions: u32) -> Result<(Layout, Vec<Vec<Epoch>>)> {
    let mut places = vec![];
    for busy in [false, true] {
        let fit = workers.iter().filter(|worker| !worker.draining && is_busy(worker) == busy);
        places = fit.map(place_of).collect::<Result<Vec<_>>>()?;
        if !places.is_empty() {
            break;
        }
    }
    if places.is_empty() {
        let text = format!(
            "no worker takes new data ({} are known, {} of them draining): is one running, and does it report to \
             these coordinators?",
            workers.len(),
            workers.iter().filter(|worker| worker.draining).count()
        );
        return Err(Error::new(ErrorKind::NotFound, text));
    }
    places.sort_by_key(|place| place.worker);
    let most = SHARDS_PER_WORKER.saturating_mul(places.len() as u32);
    let shards = (partitions / PARTITIONS_PER_SHARD).clamp(1, most);
    let layout = Layout::new(partitions, shards)?;
    let first = shuffle as usize;
    let shards = (0..shards as usize)
        .map(|shard| vec![Epoch { epoch: 0, chain: vec![places[(first + shard) % places.len()].clone()] }])
        .collect();
    Ok((layout, shards))
}

fn is_busy(worker: &WorkerInfo) -> bool {
    worker.memory_used as f64 > BUSY * worker.memory_budget as f64
}

fn place_of(worker: &WorkerInfo) -> Result<Place> {
    let id = worker.id.parse().map_err(|_| {
        Error::new(ErrorKind::Internal, format!("the coordinator names a worker {:?}: a UUID is expected", worker.id))
    })?;
    let worker_id = WorkerId { id, incarnation: worker.incarnation };
    Ok(Place { worker: worker_id, address: worker.data_address.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(number: u128) -> WorkerInfo {
        WorkerInfo {
            id: uuid::Uuid::from_u128(number).to_string(),
            data_address: format!("w{number}:7338"),
            memory_budget: 100,
            ..WorkerInfo::default()
        }
    }

    fn addresses(workers: &[WorkerInfo], shuffle: u32, partitions: u32) -> Vec<String> {
        let (layout, shards) = place(workers, shuffle, partitions).expect("placed");
        assert_eq!(layout.shards() as usize, shards.len());
        shards.into_iter().map(|epochs| epochs[0].primary().address.clone()).collect()
    }

    #[test]
    fn a_small_shuffle_has_one_shard_and_shuffles_take_turns() {
        let workers = [worker(1), worker(2)];
        assert_eq!(addresses(&workers, 0, 1), ["w1:7338"]);
        assert_eq!(addresses(&workers, 1, 200), ["w2:7338"]);
        assert_eq!(addresses(&workers, 2, 2000), ["w1:7338", "w2:7338", "w1:7338", "w2:7338"]);
        assert_eq!(addresses(&workers[..1], 0, 100_000).len(), 2);
    }

    #[test]
    fn draining_workers_get_nothing_and_busy_ones_only_if_all_are() {
        let draining = WorkerInfo { draining: true, ..worker(1) };
        let busy = WorkerInfo { memory_used: 95, ..worker(2) };
        assert_eq!(addresses(&[draining.clone(), busy.clone(), worker(3)], 0, 10), ["w3:7338"]);
        assert_eq!(addresses(&[draining.clone(), busy], 0, 10), ["w2:7338"]);
        assert_eq!(place(&[draining], 0, 10).expect_err("none left").kind(), ErrorKind::NotFound);
        assert_eq!(place(&[worker(1)], 0, 0).expect_err("no partitions").kind(), ErrorKind::Invalid);
    }
}
