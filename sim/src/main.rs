//! Runs seeds of the simulation on all cores, and replays one.

use std::{
    panic::catch_unwind,
    process::ExitCode,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use clap::Parser;
use overhand_sim::{Options, run};

/// The seeded simulation.
#[derive(Parser)]
struct Arguments {
    /// Replays this seed and prints what happens.
    #[arg(long)]
    seed: Option<u64>,
    /// The first seed of many.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// How many seeds to run.
    #[arg(long)]
    seeds: Option<u64>,
    /// How long to run seeds, if it is not said how many.
    #[arg(long, default_value = "10m", value_parser = humantime::parse_duration)]
    time: Duration,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(seed) = arguments.seed {
        let report = run(seed, Options { prints: true, broken: None });
        println!("{report:#?}");
        return if report.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let (begun, next) = (Instant::now(), AtomicU64::new(0));
    let (lost, attempts, expired) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let failed = Mutex::new(vec![]);
    let more = |number: u64| match arguments.seeds {
        Some(seeds) => number < seeds,
        None => begun.elapsed() < arguments.time,
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Relaxed);
                    if !more(number) {
                        return;
                    }
                    let seed = arguments.from + number;
                    let violations = match catch_unwind(|| run(seed, Options::default())) {
                        Ok(report) => {
                            lost.fetch_add(report.lost as u64, Relaxed);
                            attempts.fetch_add(report.finished as u64, Relaxed);
                            expired.fetch_add(u64::from(report.expired), Relaxed);
                            report.violations
                        }
                        Err(_) => vec!["it panicked".into()],
                    };
                    if !violations.is_empty() {
                        println!("seed {seed}: {}\n  replay: overhand-sim --seed {seed}", violations.join("\n  "));
                        failed.lock().expect("nobody panics with it").push(seed);
                    }
                    if number % 500 == 499 {
                        println!("{} seeds in {:.0?}", number + 1, begun.elapsed());
                    }
                }
            });
        }
    });
    let mut failed = failed.into_inner().expect("nobody panics with it");
    failed.sort_unstable();
    println!(
        "{} map tasks finished, {} of them were lost and {} applications expired early where that may be; seeds that \
         failed: {failed:?}",
        attempts.into_inner(),
        lost.into_inner(),
        expired.into_inner()
    );
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
