//! Names of things: applications, workers, shards; and which shard holds a partition.

use std::{fmt, ops::Range, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::wire::Malformed;

/// An application's id: 1 to 128 of `A-Z a-z 0-9 - _ .`, not starting with a dot, so that it is safe as a file name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AppId(String);

impl AppId {
    /// The longest id, in bytes.
    pub const MAX_LEN: usize = 128;

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AppId {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let allowed = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.');
        let fits = (1..=Self::MAX_LEN).contains(&text.len()) && !text.starts_with('.') && text.bytes().all(allowed);
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            let shown: String = text.chars().take(Self::MAX_LEN).collect();
            Err(Malformed::new(
                "application id",
                format!("{shown:?}: 1 to 128 of A-Z a-z 0-9 - _ . are allowed, not starting with a dot"),
            ))
        }
    }
}

impl TryFrom<String> for AppId {
    type Error = Malformed;

    fn try_from(text: String) -> Result<Self, Malformed> {
        text.parse()
    }
}

impl From<AppId> for String {
    fn from(id: AppId) -> String {
        id.0
    }
}

impl fmt::Display for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A worker: its id (kept in its data folders) and its incarnation (new each time that it starts without
/// everything that it had acknowledged). One that restarted empty is another worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WorkerId {
    /// Stays with the data folders.
    pub id: uuid::Uuid,
    /// Grows with every start.
    pub incarnation: u64,
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.id, self.incarnation)
    }
}

/// Where a worker is and who it must be.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// Who it must be: another incarnation may not hold what this one was given.
    pub worker: WorkerId,
    /// `host:port` of its data plane.
    pub address: String,
}

/// One epoch of one shard of a shuffle: what a chain of workers holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardKey {
    /// The shuffle, within its application.
    pub shuffle: u32,
    /// The shard, within its shuffle.
    pub shard: u32,
    /// The epoch, within its shard.
    pub epoch: u32,
}

impl fmt::Display for ShardKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shuffle {} shard {} epoch {}", self.shuffle, self.shard, self.epoch)
    }
}

/// One run of one map task. `attempt` is unique in its application (Spark's task attempt id), so that a retry,
/// a speculative copy or a stage's rerun can never be taken for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Attempt {
    /// Which map task of the shuffle.
    pub map_index: u32,
    /// Which run of it.
    pub attempt: u64,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "map {} attempt {}", self.map_index, self.attempt)
    }
}

/// How the partitions of a shuffle are split over its shards: in contiguous ranges whose sizes differ by one at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Layout {
    partitions: u32,
    shards: u32,
}

impl Layout {
    /// The most partitions that a shuffle may have.
    pub const MAX_PARTITIONS: u32 = 1 << 24;

    /// A layout of `partitions` (1 to 2^24) over `shards` (1 to `partitions`).
    pub fn new(partitions: u32, shards: u32) -> Result<Self, Malformed> {
        if partitions == 0 || partitions > Self::MAX_PARTITIONS || shards == 0 || shards > partitions {
            return Err(Malformed::new(
                "layout",
                format!(
                    "{partitions} partitions over {shards} shards: 1 to 2^24 partitions and 1 to as many shards are allowed"
                ),
            ));
        }
        Ok(Self { partitions, shards })
    }

    /// How many partitions the shuffle has.
    pub fn partitions(self) -> u32 {
        self.partitions
    }

    /// How many shards the shuffle has.
    pub fn shards(self) -> u32 {
        self.shards
    }

    /// The partitions of `shard`.
    pub fn range(self, shard: u32) -> Range<u32> {
        let cut = |shard: u32| (u64::from(self.partitions) * u64::from(shard)).div_ceil(u64::from(self.shards)) as u32;
        cut(shard)..cut(shard + 1)
    }

    /// The shard that holds `partition`.
    pub fn shard_of(self, partition: u32) -> u32 {
        (u64::from(partition) * u64::from(self.shards) / u64::from(self.partitions)) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_partition_is_in_the_range_of_its_shard_and_of_no_other(partitions in 1u32..5000, shards in 1u32..300) {
            let layout = Layout::new(partitions, shards.min(partitions)).expect("in bounds");
            let mut next = 0;
            for shard in 0..layout.shards() {
                let range = layout.range(shard);
                prop_assert_eq!(range.start, next);
                prop_assert!(!range.is_empty());
                for partition in range.clone() {
                    prop_assert_eq!(layout.shard_of(partition), shard);
                }
                next = range.end;
            }
            prop_assert_eq!(next, partitions);
        }
    }

    #[test]
    fn refuses_ids_that_are_no_safe_file_names() {
        for bad in ["", ".", "..", "a/b", "../x", "a b", "ü", &"x".repeat(129)] {
            assert!(bad.parse::<AppId>().is_err(), "{bad:?}");
        }
        assert!("app-20261121-0001_x.y".parse::<AppId>().is_ok());
    }

    #[test]
    fn refuses_layouts_out_of_bounds() {
        assert!(Layout::new(0, 1).is_err());
        assert!(Layout::new(5, 6).is_err());
        assert!(Layout::new(5, 0).is_err());
        assert!(Layout::new(u32::MAX, 1).is_err());
        assert!(Layout::new(100_000, 4).is_ok());
    }
}
