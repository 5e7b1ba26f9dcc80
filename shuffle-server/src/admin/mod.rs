//! The admin port (HTTP): `/metrics` for Prometheus, `/healthz` (is the process sound) and `/readyz` (can it serve).
//!
//! - [`serve`]: the routes.
//! - [`Registry`]: the recorder that every part makes its metrics with, and their rendering.
//! - [`reference()`]: the page that lists all metrics, made from what the parts register.

mod reference;
mod registry;

use std::sync::Arc;

use axum::{Router, http::StatusCode, response::IntoResponse, routing::get};
use overhand_common::{Error, ErrorKind, Result};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use reference::reference;
pub use registry::Registry;

use crate::health::Health;

/// Serves until `stop`.
pub async fn serve(
    listener: TcpListener,
    health: Health,
    registry: Arc<Registry>,
    stop: CancellationToken,
) -> Result<()> {
    let (for_health, for_ready) = (health.clone(), health);
    let routes = Router::new()
        .route("/", get(async || "/metrics\n/healthz\n/readyz\n"))
        .route("/healthz", get(async move || verdict(for_health.fatal())))
        .route("/readyz", get(async move || verdict(for_ready.problems())))
        .route("/metrics", get(async move || ([("content-type", "text/plain; version=0.0.4")], registry.render())));
    let served = axum::serve(listener, routes).with_graceful_shutdown(stop.cancelled_owned()).await;
    served.map_err(|error| Error::new(ErrorKind::Internal, format!("the admin port failed: {error}")))
}

fn verdict(problems: Vec<String>) -> impl IntoResponse {
    if problems.is_empty() {
        (StatusCode::OK, "ok\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, problems.join("\n") + "\n")
    }
}
