//! Tokens: who a connection speaks for. A JSON Web Token, signed with the cluster's secret (HMAC with SHA-256), so that
//! a worker checks one without asking anybody.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Kind, Result},
    ids::AppId,
};

const ISSUER: &str = "overhand";

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The application that may touch its own data, and no other's.
    #[serde(rename = "sub")]
    pub app: AppId,
    /// Who pays for it.
    pub tenant: String,
    /// When it ends, in seconds since 1970.
    #[serde(rename = "exp")]
    pub expires: u64,
    iss: String,
}

/// Signs and checks tokens with the cluster's secret.
#[derive(Clone)]
pub struct TokenKey {
    encoding: EncodingKey,
    decoding: DecodingKey,
}

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenKey(..)")
    }
}

impl TokenKey {
    /// The shortest secret in bytes.
    pub const MIN_SECRET: usize = 16;

    /// A key from the cluster's secret: [`Self::MIN_SECRET`] bytes or more.
    pub fn new(secret: &[u8]) -> Result<Self> {
        if secret.len() < Self::MIN_SECRET {
            return Err(Error::new(
                Kind::Invalid,
                format!("the secret for tokens has {} bytes: {} or more are needed", secret.len(), Self::MIN_SECRET),
            ));
        }
        Ok(Self { encoding: EncodingKey::from_secret(secret), decoding: DecodingKey::from_secret(secret) })
    }

    /// A token for `app` of `tenant` that lasts for `lifetime` from `now`.
    pub fn sign(&self, app: &AppId, tenant: &str, now: SystemTime, lifetime: Duration) -> Result<String> {
        let expires = now.checked_add(lifetime).and_then(|end| end.duration_since(UNIX_EPOCH).ok());
        let expires =
            expires.ok_or_else(|| Error::new(Kind::Invalid, "the token's lifetime is out of range"))?.as_secs();
        let claims = Claims { app: app.clone(), tenant: tenant.to_owned(), expires, iss: ISSUER.to_owned() };
        encode(&Header::new(Algorithm::HS256), &claims, &self.encoding)
            .map_err(|error| Error::new(Kind::Internal, format!("a token could not be signed: {error}")))
    }

    /// Checks a token's signature, issuer and end.
    pub fn verify(&self, token: &str) -> Result<Claims> {
        let mut rules = Validation::new(Algorithm::HS256);
        rules.set_issuer(&[ISSUER]);
        rules.set_required_spec_claims(&["exp", "sub", "iss"]);
        rules.leeway = 30;
        let data = decode::<Claims>(token, &self.decoding, &rules).map_err(|error| {
            Error::new(
                Kind::Denied,
                format!("the token was refused: {error}; was it made by this cluster's coordinators?"),
            )
        })?;
        Ok(data.claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(secret: &[u8]) -> TokenKey {
        TokenKey::new(secret).expect("long enough")
    }

    #[test]
    fn a_token_says_who_it_is_for() {
        let key = key(b"0123456789abcdef");
        let app: AppId = "app-7".parse().expect("valid");
        let token = key.sign(&app, "team", SystemTime::now(), Duration::from_secs(60)).expect("signed");
        let claims = key.verify(&token).expect("valid");
        assert_eq!((claims.app, claims.tenant.as_str()), (app, "team"));
    }

    #[test]
    fn refuses_another_clusters_an_old_and_a_changed_token() {
        let ours = key(b"0123456789abcdef");
        let app: AppId = "app-7".parse().expect("valid");
        let now = SystemTime::now();
        let foreign = key(b"fedcba9876543210").sign(&app, "", now, Duration::from_secs(60)).expect("signed");
        let old = ours.sign(&app, "", now - Duration::from_secs(500), Duration::from_secs(60)).expect("signed");
        let mut changed = ours.sign(&app, "", now, Duration::from_secs(60)).expect("signed");
        changed.replace_range(40..41, if &changed[40..41] == "A" { "B" } else { "A" });
        for token in [foreign.as_str(), &old, &changed, "", "a.b.c"] {
            assert_eq!(ours.verify(token).expect_err("refused").kind(), Kind::Denied);
        }
    }

    #[test]
    fn refuses_a_short_secret() {
        assert!(TokenKey::new(b"short").is_err());
    }
}
