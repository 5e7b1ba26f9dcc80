//! What the benchmarks share: how long they measure, and data.

use std::time::Duration;

use criterion::Criterion;
use rand::{Rng, SeedableRng, rngs::StdRng};

/// Bytes of a block's payload.
pub const BLOCK: usize = 64 << 10;

/// As long as it takes for figures that stay within some percent.
pub fn short() -> Criterion {
    Criterion::default()
        .sample_size(15)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .without_plots()
}

/// Bytes half of which are random and half zero, by turns: there is something to compress and something to pass over.
pub fn half_random(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let mut rng = StdRng::seed_from_u64(1);
    bytes.chunks_mut(64).for_each(|part| {
        let half = part.len() / 2;
        rng.fill(&mut part[..half]);
    });
    bytes
}
