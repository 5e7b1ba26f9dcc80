//! What the tests share: a worker that keeps everything in memory, workers of a chain that only serve, a proxy that cuts connections, and records.
#![allow(dead_code, missing_docs)]

pub mod driver;
pub mod proxy;
pub mod replica;
pub mod worker;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use overhand_client::{
    Attempt, Chunk, Client, ClientConfig, Epoch, Expected, Layout, Place, Placement, ReadError, ReadRequest, Reader,
    Result, WorkerId, Writer,
};
use overhand_common::ids::ShardKey;

/// Records of one attempt: partition and bytes.
pub type Records = Vec<(u32, Vec<u8>)>;
/// Items by partition, sorted.
pub type Items = BTreeMap<u32, Vec<Vec<u8>>>;

pub const WORKER: WorkerId = WorkerId { id: uuid::Uuid::from_u128(7), incarnation: 1 };

pub fn key(shuffle: u32, shard: u32, epoch: u32) -> ShardKey {
    ShardKey { shuffle, shard, epoch }
}

/// All shards, each of one epoch, at one address.
pub fn placement(address: &str, shuffle: u32, partitions: u32, shards: u32) -> Arc<Placement> {
    let place = Place { worker: WORKER, address: address.to_owned() };
    Arc::new(Placement {
        version: 0,
        app: "app-1".parse().expect("valid"),
        shuffle,
        layout: Layout::new(partitions, shards).expect("in bounds"),
        token: "token".into(),
        token_expires: u64::MAX >> 20,
        coordinators: vec!["127.0.0.1:1".into()],
        shards: (0..shards).map(|_| vec![Epoch { epoch: 0, chain: vec![place.clone()] }]).collect(),
    })
}

/// The same placement, with every worker at another address.
pub fn moved(placement: &Placement, address: &str) -> Arc<Placement> {
    let mut placement = placement.clone();
    for place in placement.shards.iter_mut().flatten().flat_map(|epoch| &mut epoch.chain) {
        place.address = address.to_owned();
    }
    Arc::new(placement)
}

/// Settings that make many small blocks and frames, and give up soon.
pub fn small() -> ClientConfig {
    ClientConfig {
        block_size: 1 << 10,
        min_block_size: 512,
        frame_size: 8 << 10,
        carry_limit: 4 << 10,
        write_window: 64 << 10,
        read_window: 64 << 10,
        retry_for: Duration::from_secs(5),
        ..ClientConfig::default()
    }
}

pub fn attempt(map_index: u32) -> Attempt {
    Attempt { map_index, attempt: u64::from(map_index) * 10 + 3 }
}

/// Fills chunks of about `size` bytes, and pushes each `batch` of them.
pub fn write(writer: &mut Writer, records: &[(u32, Vec<u8>)], size: usize, batch: usize) -> Result<Vec<u64>> {
    let mut full = vec![];
    let mut open = None;
    for (partition, item) in records {
        let need = 8 + item.len();
        let (mut chunk, mut used) = match open.take() {
            Some(open) => open,
            None => (writer.chunk(size.max(need))?, 0),
        };
        if used + need > chunk.capacity() {
            full.push((chunk, used));
            if full.len() == batch {
                writer.push(std::mem::take(&mut full))?;
            }
            (chunk, used) = (writer.chunk(size.max(need))?, 0);
        }
        let room = &mut chunk.as_mut_slice()[used..][..need];
        room[..4].copy_from_slice(&partition.to_le_bytes());
        room[4..8].copy_from_slice(&(item.len() as u32).to_le_bytes());
        room[8..].copy_from_slice(item);
        open = Some((chunk, used + need));
    }
    full.extend(open);
    writer.finish(full)
}

/// Writes one attempt with chunks of 64 KiB, two in a batch.
pub fn write_attempt(
    client: &Client,
    placement: &Arc<Placement>,
    attempt: Attempt,
    records: &Records,
) -> Result<Vec<u64>> {
    let mut writer = client.writer(Arc::clone(placement), attempt)?;
    write(&mut writer, records, 64 << 10, 2)
}

/// The expected pieces of an attempt, as the engine knows them from its stored bytes.
pub fn pieces(attempt: Attempt, stored: &[u64]) -> Vec<Expected> {
    let written = (0..).zip(stored).filter(|(_, bytes)| **bytes > 0);
    written.map(|(partition, _)| Expected { partition, attempt }).collect()
}

/// Reads all partitions.
pub fn read_all(client: &Client, placement: &Arc<Placement>, expected: Vec<Expected>) -> Result<Items, ReadError> {
    let request = ReadRequest { partitions: 0..placement.layout.partitions(), maps: 0..u32::MAX, expected };
    collect(&mut client.reader(Arc::clone(placement), request)?)
}

/// Everything that a reader hands out.
pub fn collect(reader: &mut Reader) -> Result<Items, ReadError> {
    let mut items = Items::new();
    while let Some(batch) = reader.next()? {
        let mut rest = batch.as_slice();
        let mut count = 0;
        while let Some((len, after)) = rest.split_first_chunk() {
            let (item, after) = after.split_at(u32::from_le_bytes(*len) as usize);
            items.entry(batch.partition()).or_default().push(item.to_vec());
            rest = after;
            count += 1;
        }
        assert_eq!((rest.len(), count), (0, batch.items()));
    }
    items.values_mut().for_each(|items| items.sort());
    Ok(items)
}

/// What a reader of these records should find.
pub fn items<'a>(records: impl IntoIterator<Item = &'a (u32, Vec<u8>)>) -> Items {
    let mut items = Items::new();
    for (partition, item) in records {
        items.entry(*partition).or_default().push(item.clone());
    }
    items.values_mut().for_each(|items| items.sort());
    items
}

/// `count` records of a map task, spread over the partitions, of `len` bytes each.
pub fn records(map: u32, count: u32, partitions: u32, len: usize) -> Records {
    let record = |number: u32| {
        let hash = mix(u64::from(map) << 32 | u64::from(number));
        let mut item = format!("map {map} record {number} {hash:x} ").into_bytes();
        item.resize(len, b'.');
        ((hash % u64::from(partitions)) as u32, item)
    };
    (0..count).map(record).collect()
}

pub fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    x = (x ^ (x >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    x ^ (x >> 33)
}

/// Puts all records into one chunk.
pub fn fill(mut chunk: Chunk, records: &Records) -> (Chunk, usize) {
    let mut used = 0;
    for (partition, item) in records {
        let room = &mut chunk.as_mut_slice()[used..][..8 + item.len()];
        room[..4].copy_from_slice(&partition.to_le_bytes());
        room[4..8].copy_from_slice(&(item.len() as u32).to_le_bytes());
        room[8..].copy_from_slice(item);
        used += room.len();
    }
    (chunk, used)
}
