//! What the client does with a record: scatter, compress and seal; check and decompress.

mod common;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use overhand_client::{
    Codec,
    bench::{Blocks, Scatter},
};
use rand::{Rng, SeedableRng, rngs::StdRng};

use common::{BLOCK, half_random, short};

/// Bytes of a batch, and of an item, without its length.
const BATCH: usize = 8 << 20;
const ITEM: usize = 104;

/// Records as the engine packs them: partition, length, item.
fn records(partitions: u32) -> Vec<u8> {
    let mut rng = StdRng::seed_from_u64(2);
    let item = half_random(ITEM);
    let record = |_| [&rng.random_range(0..partitions).to_le_bytes()[..], &(ITEM as u32).to_le_bytes(), &item].concat();
    (0..BATCH / (ITEM + 8)).flat_map(record).collect()
}

fn scatter(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("scatter");
    for partitions in [1, 64, 200, 2000, 10_000] {
        let records = records(partitions);
        let mut scatter = Scatter::new(&records).expect("there is memory");
        group.throughput(Throughput::Bytes(records.len() as u64));
        group.bench_function(BenchmarkId::from_parameter(partitions), |bencher| {
            bencher.iter(|| scatter.run(partitions).expect("whole records"));
        });
    }
    group.finish();
}

/// A block's items: rows of twelve 64-bit fields, half of which use all bytes and half two to four, as the `repartition` job's.
fn rows() -> Vec<u8> {
    let mut rng = StdRng::seed_from_u64(3);
    let row = |id: u64| {
        let fields: Vec<u64> =
            (0..12).map(|field| if field % 2 == 0 { rng.random() } else { id % (1000 * field + 1) }).collect();
        let fields = std::iter::once(0).chain(fields).flat_map(u64::to_le_bytes);
        (ITEM as u32).to_le_bytes().into_iter().chain(fields).collect::<Vec<u8>>()
    };
    (0..).step_by(200).flat_map(row).take(BLOCK).collect()
}

fn blocks(criterion: &mut Criterion) {
    let payloads = [("half random", half_random(BLOCK)), ("rows", rows())];
    let codecs =
        [("none", Codec::None), ("lz4", Codec::Lz4), ("zstd", Codec::Zstd), ("stream-vbyte", Codec::StreamVByte)];
    for ((data, raw), (name, codec)) in payloads.iter().flat_map(|raw| codecs.map(|codec| (raw, codec))) {
        let mut blocks = Blocks::new(codec, BLOCK).expect("the codec is there");
        let mut group = criterion.benchmark_group(format!("block/{name}/{data}"));
        group.throughput(Throughput::Bytes(BLOCK as u64));
        group.bench_function("compress and seal", |bencher| {
            bencher.iter(|| blocks.pack(black_box(raw)).expect("packed").len());
        });
        let mut block = blocks.pack(raw).expect("packed").to_vec();
        group.bench_function("check and decompress", |bencher| {
            bencher.iter(|| blocks.unpack(black_box(&mut block)).expect("undamaged").len());
        });
        group.finish();
    }
}

criterion_group!(name = client; config = short(); targets = scatter, blocks);
criterion_main!(client);
