//! What everybody on the control plane shares.

use std::time::Duration;

use tonic::transport::{Channel, Endpoint};

/// A connection to `host:port`, with this much time to be made and for each call. The error is text for people.
pub async fn connect(address: &str, patience: Duration) -> Result<Channel, String> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|_| format!("{address:?} is no host:port"))?
        .connect_timeout(patience)
        .timeout(patience);
    endpoint.connect().await.map_err(|error| {
        let cause = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source()).last();
        format!("{address} can't be reached: {}", cause.map_or_else(|| error.to_string(), ToString::to_string))
    })
}

/// Whole milliseconds, for messages.
pub fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
