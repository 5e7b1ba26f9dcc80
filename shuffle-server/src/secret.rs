//! The cluster's secret, and what drivers must show.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};

use overhand_common::{Error, ErrorKind, Result, token::TokenKey};
use rand::RngCore;

const FILE: &str = "secret";
const LEN: usize = 32;

/// The key for tokens: from `file`, else from the folder's own secret, which is made if it is not there.
pub fn token_key(file: &Path, folder: Option<&Path>, random: &mut impl RngCore) -> Result<TokenKey> {
    let path = match (file.as_os_str().is_empty(), folder) {
        (false, _) => file.to_owned(),
        (true, Some(folder)) => {
            let path = folder.join(FILE);
            make(&path, random).map_err(|error| failed(&path, "written", &error))?;
            path
        }
        (true, None) => {
            return Err(Error::new(ErrorKind::Invalid, "auth.secret_file is needed where there is no data folder"));
        }
    };
    TokenKey::new(read(&path)?.as_bytes()).map_err(|error| error.context(path.display()))
}

/// What a driver must show to register, if anything.
pub fn registration(file: &Path) -> Result<Option<String>> {
    if file.as_os_str().is_empty() { Ok(None) } else { read(file).map(Some) }
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
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn a_secret_is_made_once_for_this_user_only_and_kept() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let none = Path::new("");
        let key = token_key(none, Some(folder.path()), &mut rand::rng()).expect("made");
        let mode = fs::metadata(folder.path().join(FILE)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let app = "app".parse().expect("valid");
        let token = key.sign(&app, "", SystemTime::now(), Duration::from_secs(60)).expect("signed");
        let again = token_key(none, Some(folder.path()), &mut rand::rng()).expect("read");
        assert_eq!(again.verify(&token).expect("the same key").app, app);
    }

    #[test]
    fn refuses_a_short_a_missing_and_no_secret() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let file = folder.path().join("short");
        fs::write(&file, "short\n").expect("written");
        assert!(token_key(&file, None, &mut rand::rng()).is_err());
        assert!(token_key(&folder.path().join("missing"), None, &mut rand::rng()).is_err());
        assert!(token_key(Path::new(""), None, &mut rand::rng()).is_err());
    }
}
