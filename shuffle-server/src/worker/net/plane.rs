//! Accepts connections and owns them.

use std::{sync::Arc, time::Duration};

use overhand_common::{
    Error, ErrorKind, Result,
    message::{Failure, Kind, MIN_VERSION, message},
    token::TokenKey,
};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{Metrics, connection, copy::Copier, forward::Forwarder, tokens::Tokens};
use crate::worker::store::Store;

/// When TCP begins to ask whether an idle peer is still there, and how often.
const PROBE_AFTER: Duration = Duration::from_secs(60);
const PROBE_EVERY: Duration = Duration::from_secs(10);
/// How long accepting pauses when the system has no more sockets to give.
const BREATH: Duration = Duration::from_millis(100);

/// What clients may take, and other workers.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// Requests under way at once on one connection.
    pub streams: usize,
    /// Body bytes that may be unacknowledged on one connection.
    pub window: u64,
    /// How long a hello may take.
    pub hello_timeout: Duration,
    /// How long nothing may move in the middle of a message.
    pub stall_timeout: Duration,
    /// How long what is under way may take when the worker stops.
    pub close_timeout: Duration,
    /// How long another worker that owes an answer may say nothing before it is taken for gone.
    pub silence: Duration,
    /// Bytes per second that copies from other workers may take.
    pub copy_bandwidth: u64,
}

/// The data plane of a worker.
pub struct Plane {
    pub(super) store: Arc<Store>,
    pub(super) key: TokenKey,
    pub(super) limits: Limits,
    pub(super) metrics: Metrics,
    pub(super) tokens: Arc<Tokens>,
    pub(super) forwarder: Arc<Forwarder>,
    pub(super) copier: Copier,
}

impl Plane {
    /// A data plane in front of `store`, for holders of tokens that `key` has signed.
    pub fn new(store: Arc<Store>, key: TokenKey, limits: Limits, metrics: Metrics) -> Arc<Self> {
        let (tokens, budget) = (Arc::<Tokens>::default(), store.usage().memory_budget);
        let patience = (limits.silence, limits.stall_timeout);
        let forwarder = Arc::new(Forwarder::new(budget, tokens.clone(), patience, metrics.clone()));
        let bounds = (limits.copy_bandwidth, limits.silence);
        let copier = Copier::new(store.clone(), tokens.clone(), bounds, metrics.clone());
        Arc::new(Self { store, key, limits, metrics, tokens, forwarder, copier })
    }

    /// Serves connections until `stop`; then takes no more, lets what is under way end, and returns.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, stop: CancellationToken) -> Result<()> {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(done) = connections.join_next() => self.ended(done),
                accepted = listener.accept() => match accepted {
                    Ok((socket, _)) => self.accept(socket, &mut connections, &stop),
                    Err(error) => {
                        tracing::error!(%error, "no connection could be accepted");
                        sleep(BREATH).await;
                    }
                },
            }
        }
        drop(listener);
        let all_ended = async {
            while let Some(done) = connections.join_next().await {
                self.ended(done);
            }
        };
        if timeout(self.limits.close_timeout, all_ended).await.is_err() {
            tracing::warn!(left = connections.len(), "connections did not end in time and are cut");
            connections.shutdown().await;
        }
        self.forwarder.close().await;
        Ok(())
    }

    fn accept(self: &Arc<Self>, socket: TcpStream, connections: &mut JoinSet<()>, stop: &CancellationToken) {
        self.metrics.accepted.increment(1);
        if connections.len() >= self.limits.connections {
            let text = format!(
                "this worker has {} connections, which is the most that it takes (network.connections)",
                self.limits.connections
            );
            self.metrics.refused.increment(1);
            tracing::warn!(limit = self.limits.connections, "connection refused: too many");
            let goodbye = Failure::new(Error::new(ErrorKind::Backpressure, text));
            let _heard_or_not = socket.try_write(&message(Kind::Failure, 0, &goodbye.encode(MIN_VERSION)));
            return;
        }
        // Buffers are left to the kernel, which sizes them by itself as long as nobody sets them.
        let keepalive = TcpKeepalive::new().with_time(PROBE_AFTER).with_interval(PROBE_EVERY);
        let options = socket.set_nodelay(true).and_then(|()| SockRef::from(&socket).set_tcp_keepalive(&keepalive));
        if let Err(error) = options {
            tracing::debug!(%error, "connection lost before it began");
            return;
        }
        self.metrics.connections.increment(1);
        connections.spawn(connection::serve(self.clone(), socket, stop.clone()));
    }

    fn ended(&self, done: Result<(), tokio::task::JoinError>) {
        self.metrics.connections.decrement(1);
        if let Err(error) = done
            && error.is_panic()
        {
            tracing::error!(%error, "a connection failed badly");
        }
    }
}
