//! Several standalone servers that take each other's tokens.

use overhand_common::ids::Place;
use tempfile::TempDir;

use super::{Server, Wire};

/// Servers with one secret, and an application that may use all of them.
pub struct Servers {
    pub servers: Vec<Server>,
    pub token: String,
    _secret: TempDir,
}

impl Servers {
    /// So many servers with these further flags.
    pub fn start(count: usize, args: &[&str]) -> Self {
        let secret = TempDir::new().expect("temporary folder");
        let path = secret.path().join("secret");
        std::fs::write(&path, "the secret of these tests").expect("written");
        let setting = format!("auth.secret_file={}", path.display());
        let args = [&["--set", &setting], args].concat();
        let servers: Vec<Server> = (0..count).map(|_| Server::start(&args)).collect();
        let token = servers[0].register("app");
        Self { servers, token, _secret: secret }
    }

    /// A connection to a server.
    pub fn connect(&self, at: usize) -> Wire {
        self.servers[at].connect_with(&self.token)
    }

    /// The chain of these servers.
    pub fn chain(&self, members: &[usize]) -> Vec<Place> {
        members.iter().map(|at| self.servers[*at].place(&self.token)).collect()
    }

    /// A metric of a server, as a number.
    pub fn metric(&self, at: usize, name: &str) -> f64 {
        let text = self.servers[at].admin("/metrics").1;
        let line = text.lines().find(|line| line.split(' ').next() == Some(name)).unwrap_or_default().to_owned();
        line.rsplit(' ').next().and_then(|number| number.parse().ok()).expect("it is told")
    }
}
