//! The cluster's secret, with the tokens of the cluster's own; and what drivers must show.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use overhand_common::{Error, ErrorKind, Result, ids::AppId, token::TokenKey};
use rand::RngCore;

const FILE: &str = "secret";
const LEN: usize = 32;

/// The application that the cluster's own tokens are made out to; no real application may have this name.
pub const WORKER_APP: &str = "worker";

/// A token of the cluster's own is for one call; this much allows for clocks that differ.
const OWN_LIFETIME: Duration = Duration::from_secs(600);

/// The cluster's secret: whoever has it is a server of the cluster, or runs it.
#[derive(Debug, Clone)]
pub struct Secret {
    /// Signs and checks tokens.
    pub key: TokenKey,
    /// Where it was read, for those whose tokens are refused.
    pub file: PathBuf,
}

impl Secret {
    /// The secret in `file`, else the folder's own, which is made if it is not there.
    pub fn open(file: &Path, folder: Option<&Path>, random: &mut impl RngCore) -> Result<Self> {
        match (file.as_os_str().is_empty(), folder) {
            (false, _) => Self::read(file),
            (true, Some(folder)) => {
                let path = folder.join(FILE);
                make(&path, random).map_err(|error| failed(&path, "written", &error))?;
                Self::read(&path)
            }
            (true, None) => {
                Err(Error::new(ErrorKind::Invalid, "auth.secret_file is needed where there is no data folder"))
            }
        }
    }

    /// The secret in this file.
    pub fn read(file: &Path) -> Result<Self> {
        let key = TokenKey::new(read(file)?.as_bytes()).map_err(|error| error.context(file.display()))?;
        Ok(Self { key, file: file.to_owned() })
    }

    /// The secret that a server has made in its data folder.
    pub fn in_folder(folder: &Path) -> Result<Self> {
        Self::read(&folder.join(FILE))
    }

    /// A token of the cluster's own, for one call.
    pub fn sign_own(&self) -> Result<String> {
        let ourselves: AppId = WORKER_APP.parse()?;
        self.key.sign(&ourselves, "", SystemTime::now(), OWN_LIFETIME)
    }

    /// Checks a token of the cluster's own. `Denied` if it is not one; the text says what to compare.
    pub fn check_own(&self, token: &str) -> Result<()> {
        let claims = self.key.verify(token).map_err(|error| {
            let text = format!(
                "{}; the secret here is in {}, and auth.secret_file must hold the same on every server",
                error.message(),
                self.file.display()
            );
            Error::new(error.kind(), text)
        })?;
        match claims.app.as_str() {
            WORKER_APP => Ok(()),
            _ => Err(Error::new(ErrorKind::Denied, "this is an application's token, one of the cluster's is needed")),
        }
    }
}

/// What a driver must show to register.
#[derive(Clone)]
pub struct Registration(String);

impl std::fmt::Debug for Registration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Registration(..)")
    }
}

impl Registration {
    /// Reads it; `None` if nothing must be shown.
    pub fn open(file: &Path) -> Result<Option<Self>> {
        if file.as_os_str().is_empty() { Ok(None) } else { read(file).map(|secret| Some(Self(secret))) }
    }

    /// Compares without telling by the time it takes where the first difference is.
    pub fn is(&self, shown: &str) -> bool {
        let (one, other) = (self.0.as_bytes(), shown.as_bytes());
        one.len() == other.len() && one.iter().zip(other).fold(0, |differ, (one, other)| differ | (one ^ other)) == 0
    }
}

/// Makes a secret that only this user can read, unless there is one.
fn make(path: &Path, random: &mut impl RngCore) -> io::Result<()> {
    let mut secret = [0; LEN];
    random.fill_bytes(&mut secret);
    let text: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(mut file) => {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

fn read(path: &Path) -> Result<String> {
    let text = fs::read_to_string(path).map_err(|error| failed(path, "read", &error))?;
    let mode = fs::metadata(path).map(|meta| meta.permissions().mode()).unwrap_or_default();
    if mode & 0o077 != 0 {
        tracing::warn!(path = %path.display(), mode = format!("{:o}", mode & 0o777), "others can read this secret");
    }
    Ok(text.trim().to_owned())
}

fn failed(path: &Path, what: &str, error: &io::Error) -> Error {
    Error::new(ErrorKind::Invalid, format!("the secret {} can't be {what}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_made_once_for_this_user_only_and_kept() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let none = Path::new("");
        let secret = Secret::open(none, Some(folder.path()), &mut rand::rng()).expect("made");
        let mode = fs::metadata(folder.path().join(FILE)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let token = secret.sign_own().expect("signed");
        let again = Secret::open(none, Some(folder.path()), &mut rand::rng()).expect("read");
        again.check_own(&token).expect("the same key");
        Secret::in_folder(folder.path()).expect("found").check_own(&token).expect("the same key");
    }

    #[test]
    fn refuses_a_short_a_missing_and_no_secret() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let file = folder.path().join("short");
        fs::write(&file, "short\n").expect("written");
        assert!(Secret::open(&file, None, &mut rand::rng()).is_err());
        assert!(Secret::open(&folder.path().join("missing"), None, &mut rand::rng()).is_err());
        assert!(Secret::open(Path::new(""), None, &mut rand::rng()).is_err());
    }

    #[test]
    fn a_token_of_another_secret_or_of_an_application_is_refused_with_the_file_to_compare() {
        let (one, other) = (tempfile::tempdir().expect("folder"), tempfile::tempdir().expect("folder"));
        let open = |folder: &tempfile::TempDir| Secret::open(Path::new(""), Some(folder.path()), &mut rand::rng());
        let (ours, theirs) = (open(&one).expect("made"), open(&other).expect("made"));
        let refused = ours.check_own(&theirs.sign_own().expect("signed")).expect_err("refused");
        assert_eq!(refused.kind(), ErrorKind::Denied);
        assert!(refused.message().contains(&format!("{}", ours.file.display())), "{refused}");
        let app = "app".parse().expect("valid");
        let token = ours.key.sign(&app, "", SystemTime::now(), OWN_LIFETIME).expect("signed");
        assert_eq!(ours.check_own(&token).expect_err("refused").kind(), ErrorKind::Denied);
    }
}
