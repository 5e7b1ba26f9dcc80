//! What the machine can do, to set the others beside: copies, CRC-32, LZ4.

mod common;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lz4::block::{CompressionMode, compress_bound, compress_to_buffer, decompress_to_buffer};

use common::{BLOCK, half_random, short};

/// More than any cache holds.
const AREA: usize = 64 << 20;

fn memory(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("machine");
    for (name, len) in [("memcpy/64MiB", AREA), ("memcpy/64KiB", BLOCK)] {
        let (from, mut to) = (half_random(len), vec![1; len]);
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(name, |bencher| bencher.iter(|| to.copy_from_slice(black_box(&from))));
    }
    for (name, len) in [("crc32/64MiB", AREA), ("crc32/64KiB", BLOCK)] {
        let bytes = half_random(len);
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(name, |bencher| bencher.iter(|| crc32fast::hash(black_box(&bytes))));
    }
    group.finish();
}

fn lz4(criterion: &mut Criterion) {
    let raw = half_random(BLOCK);
    let mut packed = vec![0; compress_bound(BLOCK).expect("a block is not too long")];
    let mut unpacked = vec![0; BLOCK];
    let pack = |packed: &mut [u8]| {
        compress_to_buffer(black_box(&raw), Some(CompressionMode::FAST(1)), false, packed).expect("there is room")
    };
    let mut group = criterion.benchmark_group("machine");
    group.throughput(Throughput::Bytes(BLOCK as u64));
    group.bench_function("lz4/compress", |bencher| bencher.iter(|| pack(&mut packed)));
    let len = pack(&mut packed);
    group.bench_function("lz4/decompress", |bencher| {
        bencher.iter(|| decompress_to_buffer(black_box(&packed[..len]), Some(BLOCK as i32), &mut unpacked));
    });
    group.finish();
}

criterion_group!(name = machine; config = short(); targets = memory, lz4);
criterion_main!(machine);
