//! Calls to coordinators: any of them will do, the last good one is asked first.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use overhand_proto::v1::{
    EndApplicationRequest, KeepAliveRequest, KeepAliveResponse, RegisterApplicationRequest,
    RegisterApplicationResponse, RenewTokenRequest, RenewTokenResponse, coordinator_client::CoordinatorClient,
};
use parking_lot::Mutex;
use tonic::{
    Code, Response, Status,
    transport::{Channel, Endpoint},
};

use crate::{
    Error, ErrorKind, Result,
    client::{Tally, count},
};

/// The coordinators of one cluster.
#[derive(Debug)]
pub(crate) struct Coordinators {
    addresses: Vec<String>,
    connect_timeout: Duration,
    request_timeout: Duration,
    good: AtomicUsize,
    channels: Mutex<Vec<Option<Channel>>>,
    tally: Arc<Tally>,
}

impl Coordinators {
    pub(crate) fn new(
        addresses: Vec<String>,
        connect_timeout: Duration,
        request_timeout: Duration,
        tally: Arc<Tally>,
    ) -> Result<Self> {
        if addresses.is_empty() {
            return Err(Error::new(ErrorKind::Invalid, "no coordinator is given: name one as host:port"));
        }
        let channels = Mutex::new(vec![None; addresses.len()]);
        Ok(Self { addresses, connect_timeout, request_timeout, good: AtomicUsize::new(0), channels, tally })
    }

    pub(crate) async fn register(&self, request: RegisterApplicationRequest) -> Result<RegisterApplicationResponse> {
        self.ask("the application could not be registered", move |mut coordinator| {
            let request = request.clone();
            async move { coordinator.register_application(request).await }
        })
        .await
    }

    pub(crate) async fn keep_alive(&self, token: &str) -> Result<KeepAliveResponse> {
        self.ask("the application's lease could not be kept", move |mut coordinator| {
            let request = KeepAliveRequest { token: token.to_owned(), health: None };
            async move { coordinator.keep_alive(request).await }
        })
        .await
    }

    pub(crate) async fn renew_token(&self, token: &str) -> Result<RenewTokenResponse> {
        self.ask("the token could not be renewed", move |mut coordinator| {
            let request = RenewTokenRequest { token: token.to_owned() };
            async move { coordinator.renew_token(request).await }
        })
        .await
    }

    pub(crate) async fn end(&self, token: &str) -> Result<()> {
        self.ask("the application's end could not be told", move |mut coordinator| {
            let request = EndApplicationRequest { token: token.to_owned() };
            async move { coordinator.end_application(request).await }
        })
        .await?;
        Ok(())
    }

    /// Asks one coordinator after the other until one answers; only being out of reach makes it go on.
    async fn ask<T, F, A>(&self, failing: &str, call: F) -> Result<T>
    where
        F: Fn(CoordinatorClient<Channel>) -> A,
        A: Future<Output = Result<Response<T>, Status>>,
    {
        let first = self.good.load(Ordering::Relaxed);
        let mut failures = vec![];
        for step in 0..self.addresses.len() {
            let at = (first + step) % self.addresses.len();
            let address = &self.addresses[at];
            let channel = match self.channel(at).await {
                Ok(channel) => channel,
                Err(error) => {
                    failures.push(format!("{address}: {error}"));
                    continue;
                }
            };
            count(&self.tally.coordinator_calls);
            match call(CoordinatorClient::new(channel)).await {
                Ok(response) => {
                    self.good.store(at, Ordering::Relaxed);
                    return Ok(response.into_inner());
                }
                Err(status)
                    if matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled) =>
                {
                    self.channels.lock()[at] = None;
                    failures.push(format!("{address}: {}", status.message()));
                }
                Err(status) => {
                    let text = format!("{failing}: coordinator {address} says: {}", status.message());
                    return Err(Error::new(kind_of(status.code()), text));
                }
            }
        }
        let text = format!(
            "{failing}: no coordinator answered within {:?} to connect and {:?} to answer ({}); check that one runs \
             there and that this host may reach it",
            self.connect_timeout,
            self.request_timeout,
            failures.join("; ")
        );
        Err(Error::new(ErrorKind::Retry, text))
    }

    async fn channel(&self, at: usize) -> Result<Channel, String> {
        if let Some(channel) = self.channels.lock()[at].clone() {
            return Ok(channel);
        }
        let endpoint = Endpoint::from_shared(format!("http://{}", self.addresses[at]))
            .map_err(|error| format!("not an address ({error}): host:port is expected"))?;
        let endpoint = endpoint.timeout(self.request_timeout).tcp_nodelay(true);
        let channel = match tokio::time::timeout(self.connect_timeout, endpoint.connect()).await {
            Ok(connected) => connected.map_err(|error| reason(&error))?,
            Err(_) => return Err("it did not take a connection in time".into()),
        };
        self.channels.lock()[at] = Some(channel.clone());
        Ok(channel)
    }
}

/// The innermost cause: the outer ones say "transport error".
fn reason(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

fn kind_of(code: Code) -> ErrorKind {
    match code {
        Code::Unavailable | Code::DeadlineExceeded | Code::Aborted => ErrorKind::Retry,
        Code::ResourceExhausted => ErrorKind::Backpressure,
        Code::FailedPrecondition => ErrorKind::Stale,
        Code::NotFound => ErrorKind::NotFound,
        Code::DataLoss => ErrorKind::DataLost,
        Code::InvalidArgument | Code::OutOfRange | Code::Unimplemented | Code::AlreadyExists => ErrorKind::Invalid,
        Code::PermissionDenied | Code::Unauthenticated => ErrorKind::Denied,
        Code::Cancelled => ErrorKind::Closed,
        Code::Ok | Code::Unknown | Code::Internal => ErrorKind::Internal,
    }
}
