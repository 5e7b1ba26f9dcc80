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

fn blocks(criterion: &mut Criterion) {
    let raw = half_random(BLOCK);
    for (name, codec) in [("none", Codec::None), ("lz4", Codec::Lz4), ("zstd", Codec::Zstd)] {
        let mut blocks = Blocks::new(codec, BLOCK).expect("the codec is there");
        let mut group = criterion.benchmark_group(format!("block/{name}"));
        group.throughput(Throughput::Bytes(BLOCK as u64));
        group.bench_function("compress and seal", |bencher| {
            bencher.iter(|| blocks.pack(black_box(&raw)).expect("packed").len());
        });
        let mut block = blocks.pack(&raw).expect("packed").to_vec();
        group.bench_function("check and decompress", |bencher| {
            bencher.iter(|| blocks.unpack(black_box(&mut block)).expect("undamaged").len());
        });
        group.finish();
    }
}

criterion_group!(name = client; config = short(); targets = scatter, blocks);
criterion_main!(client);
