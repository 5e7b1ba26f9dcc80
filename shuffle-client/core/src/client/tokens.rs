//! The newest token of each application that a client works for.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;

use super::Tally;
use crate::{AppId, Placement, Result, control::Coordinators};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// After a renewal that failed.
const AGAIN_AFTER: Duration = Duration::from_secs(10);

/// A token and its end, in seconds since 1970.
#[derive(Debug, Clone)]
struct Token {
    text: String,
    expires: u64,
}

/// Tokens as placements bring them and coordinators renew them.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    newest: Mutex<HashMap<AppId, Token>>,
}

impl Tokens {
    /// Takes a placement's token if it is newer; says whether the application is new here.
    pub(crate) fn learn(&self, placement: &Placement) -> bool {
        let mut newest = self.newest.lock();
        let new = !newest.contains_key(&placement.app);
        if newest.get(&placement.app).is_none_or(|token| token.expires < placement.token_expires) {
            let token = Token { text: placement.token.clone(), expires: placement.token_expires };
            newest.insert(placement.app.clone(), token);
        }
        new
    }

    /// Takes a token that somebody else keeps fresh.
    pub(crate) fn set(&self, app: &AppId, text: &str) {
        self.newest.lock().insert(app.clone(), Token { text: text.to_owned(), expires: u64::MAX });
    }

    /// The newest token; empty if there is none.
    pub(crate) fn get(&self, app: &AppId) -> String {
        self.newest.lock().get(app).map(|token| token.text.clone()).unwrap_or_default()
    }

    /// Renews an application's token when half of what was left of it has gone, for as long as it can be renewed.
    pub(crate) async fn keep_fresh(self: Arc<Self>, placement: Arc<Placement>, tally: Arc<Tally>) {
        let addresses = placement.coordinators.clone();
        let Ok(coordinators) = Coordinators::new(addresses, CONNECT_TIMEOUT, REQUEST_TIMEOUT, tally) else { return };
        let app = placement.app.clone();
        drop(placement);
        loop {
            let Some(token) = self.newest.lock().get(&app).cloned() else { return };
            let left = Duration::from_secs(token.expires.saturating_sub(now()));
            if left.is_zero() {
                return;
            }
            tokio::time::sleep((left / 2).max(Duration::from_secs(1))).await;
            if self.newest.lock().get(&app).is_some_and(|newest| newest.expires > token.expires) {
                continue;
            }
            if let Err(error) = self.renew(&app, &token, &coordinators).await {
                tracing::warn!(%app, %error, "a token was not renewed");
                tokio::time::sleep(AGAIN_AFTER).await;
            }
        }
    }

    async fn renew(&self, app: &AppId, token: &Token, coordinators: &Coordinators) -> Result<()> {
        let renewed = coordinators.renew_token(&token.text).await?;
        let expires = now() + renewed.token_lifetime_ms / 1000;
        self.newest.lock().insert(app.clone(), Token { text: renewed.token, expires });
        Ok(())
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
