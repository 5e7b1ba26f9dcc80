//! What was asked of others, counted.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What a client or an application has asked of others so far.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counters {
            /// The names of the counters, in the order of [`Counters::values`].
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name)),*];

            /// All counters, for whoever shows them.
            pub fn values(&self) -> [u64; Self::NAMES.len()] {
                [$(self.$name),*]
            }
        }

        /// The counters while they count.
        #[derive(Debug, Default)]
        pub(crate) struct Tally {
            $(pub(crate) $name: AtomicU64,)*
        }

        impl Tally {
            pub(crate) fn read(&self) -> Counters {
                Counters { $($name: self.$name.load(Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Shuffles placed.
    shuffles,
    /// Calls to coordinators. Time alone calls for them (the lease, the token), but for the refreshes.
    coordinator_calls,
    /// Times that all coordinators were asked out of turn, because a shuffle was in trouble.
    refreshes,
    /// Questions to the driver.
    driver_calls,
    /// Connections opened to workers.
    connections,
    /// Pairs of an attempt and a shard that got something of it.
    shard_outputs,
    /// Frames sent, repeats included.
    frames,
    /// Frames among these that brought nothing new: no block, or those of a frame sent before.
    extra_frames,
    /// Fetches sent, repeats included.
    fetches,
    /// Fetches among these that were sent because another worker was slow.
    hedges,
    /// Messages that granted credit.
    credits,
    /// Messages of blocks received.
    data_messages,
    /// Shuffles removed, counted once per worker.
    removals,
}

/// Counts one more.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}
