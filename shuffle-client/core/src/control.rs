//! Calls to coordinators, to one of them or to the first that answers.

use std::{
    fmt,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use overhand_proto::{
    kind_of,
    v1::{
        ApplicationHealth, EndApplicationRequest, EndApplicationResponse, KeepAliveRequest, KeepAliveResponse,
        RegisterApplicationRequest, RegisterApplicationResponse, RenewTokenRequest, RenewTokenResponse,
        coordinator_client::CoordinatorClient,
    },
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

/// Why one coordinator did not do as asked.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// It can't be reached, or does not answer in time.
    OutOfReach(String),
    /// It says so.
    Said(Error),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::OutOfReach(text) => f.write_str(text),
            Refusal::Said(error) => write!(f, "{error}"),
        }
    }
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

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.addresses.len()
    }

    /// `host:port` of one.
    pub(crate) fn address(&self, at: usize) -> &str {
        &self.addresses[at]
    }

    /// Registers an application with one.
    pub(crate) async fn register(
        &self,
        at: usize,
        request: RegisterApplicationRequest,
    ) -> Result<RegisterApplicationResponse, Refusal> {
        self.call(at, |mut coordinator| async move { coordinator.register_application(request).await }).await
    }

    /// Keeps an application's lease with one.
    pub(crate) async fn keep_alive(
        &self,
        at: usize,
        token: &str,
        health: ApplicationHealth,
    ) -> Result<KeepAliveResponse, Refusal> {
        let request = KeepAliveRequest { token: token.to_owned(), health: Some(health) };
        self.call(at, |mut coordinator| async move { coordinator.keep_alive(request).await }).await
    }

    /// Tells one that an application has ended.
    pub(crate) async fn end(&self, at: usize, token: &str) -> Result<EndApplicationResponse, Refusal> {
        let request = EndApplicationRequest { token: token.to_owned() };
        self.call(at, |mut coordinator| async move { coordinator.end_application(request).await }).await
    }

    /// Renews a token with the first that answers, beginning with the one that did so last.
    pub(crate) async fn renew_token(&self, token: &str) -> Result<RenewTokenResponse> {
        let failing = "the token could not be renewed";
        let first = self.good.load(Ordering::Relaxed);
        let mut failures = vec![];
        for step in 0..self.addresses.len() {
            let at = (first + step) % self.addresses.len();
            let request = RenewTokenRequest { token: token.to_owned() };
            match self.call(at, |mut coordinator| async move { coordinator.renew_token(request).await }).await {
                Ok(renewed) => {
                    self.good.store(at, Ordering::Relaxed);
                    return Ok(renewed);
                }
                Err(Refusal::OutOfReach(text)) => failures.push(text),
                Err(Refusal::Said(error)) => return Err(error.context(failing)),
            }
        }
        Err(self.nobody(failing, &failures))
    }

    /// None of them answered.
    pub(crate) fn nobody(&self, failing: &str, failures: &[String]) -> Error {
        let text = format!(
            "{failing}: no coordinator answered within {:?} to connect and {:?} to answer ({}); check that one runs \
             there and that this host may reach it",
            self.connect_timeout,
            self.request_timeout,
            failures.join("; ")
        );
        Error::new(ErrorKind::Retry, text)
    }

    async fn call<T, F, A>(&self, at: usize, call: F) -> Result<T, Refusal>
    where
        F: FnOnce(CoordinatorClient<Channel>) -> A,
        A: Future<Output = Result<Response<T>, Status>>,
    {
        let address = &self.addresses[at];
        let out_of_reach = |text: &str| Refusal::OutOfReach(format!("{address}: {text}"));
        let channel = self.channel(at).await.map_err(|text| out_of_reach(&text))?;
        count(&self.tally.coordinator_calls);
        let status = match call(CoordinatorClient::new(channel)).await {
            Ok(response) => return Ok(response.into_inner()),
            Err(status) => status,
        };
        if matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled) {
            self.channels.lock()[at] = None;
            return Err(out_of_reach(status.message()));
        }
        let text = format!("coordinator {address} says: {}", status.message());
        Err(Refusal::Said(Error::new(kind_of(status.code()), text)))
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
