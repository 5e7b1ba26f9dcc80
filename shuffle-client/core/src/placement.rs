//! Where the shards of one shuffle are.
//!
//! # Format
//! Little-endian; a text is a 16-bit length and UTF-8.
//!
//! | field | size |
//! |---|---|
//! | CRC-32 of the rest | 4 |
//! | version of this format, 2 | 1 |
//! | version of the placement | 8 |
//! | application | text |
//! | shuffle, partitions, shards | 3 × 4 |
//! | token | text |
//! | end of the token, seconds since 1970 | 8 |
//! | coordinators: count, each | 2, texts |
//! | workers: count, each: UUID, incarnation, address | 2, (16, 8, text) |
//! | per shard: count of epochs, each: epoch, length of the chain, workers by place in the list | 4, (4, 1, 2 each) |

use std::collections::HashMap;

use bytes::{Buf, TryGetError};

pub use overhand_common::ids::Place;

use crate::{AppId, Error, ErrorKind, Layout, Result, WorkerId};

const VERSION: u8 = 2;

/// One epoch of a shard: a chain of workers, the primary first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Epoch {
    /// The epoch's number.
    pub epoch: u32,
    /// The workers, primary first; never empty, at most 255.
    pub chain: Vec<Place>,
}

impl Epoch {
    /// The worker that takes new data.
    pub fn primary(&self) -> &Place {
        &self.chain[0]
    }
}

/// Where the shards of one shuffle are, and what a task needs to get there. The driver makes it, tasks get its bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Placement {
    /// Grows with every change that the driver makes.
    pub version: u64,
    /// The application.
    pub app: AppId,
    /// The shuffle.
    pub shuffle: u32,
    /// How partitions are split over shards.
    pub layout: Layout,
    /// The application's token.
    pub token: String,
    /// When the token ends, in seconds since 1970.
    pub token_expires: u64,
    /// `host:port` of every coordinator, for a new token.
    pub coordinators: Vec<String>,
    /// Per shard its epochs, oldest first; new data goes to the last, all are read. None is empty.
    pub shards: Vec<Vec<Epoch>>,
}

impl std::fmt::Debug for Placement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Placement")
            .field("app", &self.app)
            .field("shuffle", &self.shuffle)
            .field("layout", &self.layout)
            .field("version", &self.version)
            .field("shards", &self.shards)
            .finish_non_exhaustive()
    }
}

impl Placement {
    /// The epoch of `shard` that takes new data.
    pub fn current(&self, shard: u32) -> &Epoch {
        self.shards[shard as usize].last().expect("a shard has an epoch")
    }

    /// Every worker, each once.
    pub fn workers(&self) -> Vec<&Place> {
        let mut places: Vec<&Place> = vec![];
        let mut seen = HashMap::new();
        for place in self.shards.iter().flatten().flat_map(|epoch| &epoch.chain) {
            seen.entry(place).or_insert_with(|| places.push(place));
        }
        places
    }

    /// The bytes, for the engine's own messages.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![0, 0, 0, 0, VERSION];
        out.extend_from_slice(&self.version.to_le_bytes());
        put_text(&mut out, self.app.as_str());
        for number in [self.shuffle, self.layout.partitions(), self.layout.shards()] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        put_text(&mut out, &self.token);
        out.extend_from_slice(&self.token_expires.to_le_bytes());
        put_count(&mut out, self.coordinators.len());
        for coordinator in &self.coordinators {
            put_text(&mut out, coordinator);
        }
        let workers = self.workers();
        put_count(&mut out, workers.len());
        for place in &workers {
            out.extend_from_slice(&place.worker.id.as_u128().to_le_bytes());
            out.extend_from_slice(&place.worker.incarnation.to_le_bytes());
            put_text(&mut out, &place.address);
        }
        let at: HashMap<&Place, usize> = workers.into_iter().enumerate().map(|(at, place)| (place, at)).collect();
        for epochs in &self.shards {
            out.extend_from_slice(&(epochs.len() as u32).to_le_bytes());
            for epoch in epochs {
                out.extend_from_slice(&epoch.epoch.to_le_bytes());
                out.push(epoch.chain.len() as u8);
                for place in &epoch.chain {
                    put_count(&mut out, at[place]);
                }
            }
        }
        let crc = crc32fast::hash(&out[4..]);
        out[..4].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads the bytes.
    ///
    /// # Errors
    /// `Invalid` if they are not a placement of a version that this code knows.
    pub fn decode(mut bytes: &[u8]) -> Result<Self> {
        let crc = bytes.try_get_u32_le().map_err(short)?;
        if crc32fast::hash(bytes) != crc {
            return Err(malformed("the checksum is wrong"));
        }
        let format = bytes.try_get_u8().map_err(short)?;
        if format != VERSION {
            return Err(malformed(format!("format {format} is unknown: use the same client in driver and executors")));
        }
        let version = bytes.try_get_u64_le().map_err(short)?;
        let app = text(&mut bytes)?.parse()?;
        let shuffle = bytes.try_get_u32_le().map_err(short)?;
        let partitions = bytes.try_get_u32_le().map_err(short)?;
        let layout = Layout::new(partitions, bytes.try_get_u32_le().map_err(short)?)?;
        let token = text(&mut bytes)?;
        let token_expires = bytes.try_get_u64_le().map_err(short)?;
        let mut coordinators = vec![];
        for _ in 0..bytes.try_get_u16_le().map_err(short)? {
            coordinators.push(text(&mut bytes)?);
        }
        let mut workers = vec![];
        for _ in 0..bytes.try_get_u16_le().map_err(short)? {
            let id = uuid::Uuid::from_u128(bytes.try_get_u128_le().map_err(short)?);
            let incarnation = bytes.try_get_u64_le().map_err(short)?;
            workers.push(Place { worker: WorkerId { id, incarnation }, address: text(&mut bytes)? });
        }
        let mut shards = vec![];
        for _ in 0..layout.shards() {
            let mut epochs = vec![];
            for _ in 0..bytes.try_get_u32_le().map_err(short)? {
                epochs.push(epoch(&mut bytes, &workers)?);
            }
            if epochs.is_empty() {
                return Err(malformed("a shard has no epoch"));
            }
            shards.push(epochs);
        }
        if !bytes.is_empty() {
            return Err(malformed(format!("{} bytes too many", bytes.len())));
        }
        Ok(Self { version, app, shuffle, layout, token, token_expires, coordinators, shards })
    }
}

fn epoch(bytes: &mut &[u8], workers: &[Place]) -> Result<Epoch> {
    let epoch = bytes.try_get_u32_le().map_err(short)?;
    let mut chain = vec![];
    for _ in 0..bytes.try_get_u8().map_err(short)? {
        let at = bytes.try_get_u16_le().map_err(short)?;
        let place = workers.get(usize::from(at)).ok_or_else(|| malformed(format!("worker {at} is not in the list")))?;
        chain.push(place.clone());
    }
    if chain.is_empty() {
        return Err(malformed(format!("epoch {epoch} has no worker")));
    }
    Ok(Epoch { epoch, chain })
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&u16::try_from(count).expect("fewer than 2^16 workers").to_le_bytes());
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_count(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

fn text(bytes: &mut &[u8]) -> Result<String> {
    let len = usize::from(bytes.try_get_u16_le().map_err(short)?);
    let (text, rest) = bytes.split_at_checked(len).ok_or_else(|| malformed("a text is cut off"))?;
    *bytes = rest;
    String::from_utf8(text.to_vec()).map_err(|_| malformed("a text is not UTF-8"))
}

fn short(error: TryGetError) -> Error {
    malformed(format!("it is cut off: {} bytes are needed, {} are left", error.requested, error.available))
}

fn malformed(what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Invalid, format!("malformed placement: {what}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place(number: u128) -> Place {
        Place {
            worker: WorkerId { id: uuid::Uuid::from_u128(number), incarnation: 5 },
            address: format!("worker-{number}:7338"),
        }
    }

    fn placement() -> Placement {
        let epoch = |epoch, chain: &[u128]| Epoch { epoch, chain: chain.iter().copied().map(place).collect() };
        Placement {
            version: 3,
            app: "app-1".parse().expect("valid"),
            shuffle: 7,
            layout: Layout::new(100, 2).expect("in bounds"),
            token: "a.b.c".into(),
            token_expires: 1 << 40,
            coordinators: vec!["c1:7337".into(), "c2:7337".into()],
            shards: vec![vec![epoch(0, &[1, 2]), epoch(1, &[2, 3])], vec![epoch(0, &[3])]],
        }
    }

    #[test]
    fn a_placement_comes_back_from_its_bytes() {
        let placement = placement();
        assert_eq!(Placement::decode(&placement.encode()).expect("decoded"), placement);
        assert_eq!(placement.workers().len(), 3);
        assert_eq!(placement.current(0).epoch, 1);
    }

    #[test]
    fn the_token_is_in_no_debug_text() {
        assert!(!format!("{:?}", placement()).contains("a.b.c"));
    }

    proptest! {
        #[test]
        fn any_flipped_bit_or_cut_is_found(at in any::<proptest::sample::Index>(), bit in 0u8..8) {
            let mut bytes = placement().encode();
            let at = at.index(bytes.len());
            prop_assert!(Placement::decode(&bytes[..at]).is_err());
            bytes[at] ^= 1 << bit;
            prop_assert_eq!(Placement::decode(&bytes).expect_err("flipped").kind(), ErrorKind::Invalid);
        }
    }
}
