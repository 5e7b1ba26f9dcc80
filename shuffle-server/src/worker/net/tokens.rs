//! The tokens that applications have shown. A worker speaks to other workers with these and no other rights, so that a
//! client can never make it do more than the client itself may.

use std::{collections::HashMap, time::SystemTime};

use overhand_common::{ids::AppId, token::Claims};
use parking_lot::Mutex;

/// Per application the token that lasts longest. In memory only: whoever pushes has shown one before.
#[derive(Debug, Default)]
pub struct Tokens {
    newest: Mutex<HashMap<AppId, Shown>>,
}

#[derive(Debug)]
struct Shown {
    token: String,
    /// In seconds since 1970.
    expires: u64,
}

impl Tokens {
    /// Remembers a token that was found good at `now`, and forgets those that have ended.
    pub fn shown(&self, token: &str, claims: &Claims, now: SystemTime) {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let mut newest = self.newest.lock();
        newest.retain(|_, shown| shown.expires >= now);
        let known = newest.get(&claims.app).map_or(0, |shown| shown.expires);
        if claims.expires > known {
            newest.insert(claims.app.clone(), Shown { token: token.to_owned(), expires: claims.expires });
        }
    }

    /// The application's token; empty if none was shown, or none that has not ended: that is refused by whoever gets
    /// it.
    pub fn of(&self, app: &AppId) -> String {
        self.newest.lock().get(app).map(|shown| shown.token.clone()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use overhand_common::token::TokenKey;

    use super::*;

    #[test]
    fn the_token_that_lasts_longest_is_kept_and_one_that_ended_is_forgotten() {
        let key = TokenKey::new(b"0123456789abcdef").expect("long enough");
        let now = SystemTime::now();
        let tokens = Tokens::default();
        let show = |app: &str, lifetime, at| {
            let app = app.parse().expect("valid");
            let token = key.sign(&app, "", now, Duration::from_secs(lifetime)).expect("signed");
            tokens.shown(&token, &key.verify(&token).expect("valid"), at);
            token
        };
        let app: AppId = "one".parse().expect("valid");
        assert_eq!(tokens.of(&app), "");
        show("one", 100, now);
        let long = show("one", 300, now);
        show("one", 200, now);
        assert_eq!(tokens.of(&app), long);
        show("two", 1000, now + Duration::from_secs(400));
        assert_eq!(tokens.of(&app), "");
    }
}
