//! A bound on bytes per second.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

/// A bound on bytes per second, shared by whoever takes from it. What is taken is paid for by those who come after it.
#[derive(Debug)]
pub struct Bandwidth {
    /// Bytes per second.
    rate: u64,
    free_at: Mutex<Option<Instant>>,
}

impl Bandwidth {
    /// A bound of `rate` bytes per second.
    pub fn new(rate: u64) -> Self {
        Self { rate: rate.max(1), free_at: Mutex::new(None) }
    }

    /// Waits until all that was taken before is paid for, and takes `bytes`.
    pub async fn take(&self, bytes: u64) {
        sleep_until(self.book(bytes, Instant::now())).await;
    }

    /// When these bytes may be used.
    fn book(&self, bytes: u64, now: Instant) -> Instant {
        let mut free_at = self.free_at.lock();
        let start = free_at.map_or(now, |free_at| free_at.max(now));
        *free_at = Some(start + Duration::from_secs_f64(bytes as f64 / self.rate as f64));
        start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_wait_for_those_before_them_and_idle_time_is_not_saved_up() {
        let bandwidth = Bandwidth::new(1000);
        let now = Instant::now();
        let second = Duration::from_secs(1);
        assert_eq!(bandwidth.book(2000, now), now);
        assert_eq!(bandwidth.book(500, now), now + 2 * second);
        assert_eq!(bandwidth.book(1000, now + 10 * second), now + 10 * second);
        assert_eq!(bandwidth.book(1, now + 10 * second), now + 11 * second);
    }
}
