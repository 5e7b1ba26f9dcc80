//! A server process and its command line.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
};

use overhand_common::{
    Error, ErrorKind,
    ids::{AppId, Place},
    token::TokenKey,
};
use overhand_proto::v1::{
    ApplicationHealth, EndApplicationRequest, KeepAliveRequest, KeepAliveResponse, RegisterApplicationRequest,
    coordinator_client::CoordinatorClient,
};
use overhand_server::endpoints::Endpoints;
use tempfile::TempDir;
use tonic::transport::Channel;

use super::{Wire, block, eventually, fin_of};

/// A `overhand standalone` process on ports of its own choice. It is killed when dropped.
pub struct Server {
    process: Child,
    role: &'static str,
    args: Vec<String>,
    pub endpoints: Endpoints,
    pub folder: PathBuf,
    pub log: PathBuf,
    _scratch: Option<TempDir>,
}

/// Runs the command to its end.
pub fn overhand(args: &[&str]) -> Output {
    command().args(args).output().expect("the command runs")
}

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_overhand"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("OVERHAND_")) {
        command.env_remove(name);
    }
    command
}

impl Server {
    /// A server with a folder of its own and these further flags.
    pub fn start(args: &[&str]) -> Self {
        let scratch = TempDir::new().expect("temporary folder");
        let mut server = Self::start_in(&scratch.path().join("data"), args);
        server._scratch = Some(scratch);
        server
    }

    /// A server with this folder.
    pub fn start_in(folder: &Path, args: &[&str]) -> Self {
        Self::start_as("standalone", folder, args)
    }

    /// A process of this role with this folder.
    pub fn start_as(role: &'static str, folder: &Path, args: &[&str]) -> Self {
        let args: Vec<String> = args.iter().map(|arg| arg.to_string()).collect();
        let log = folder.with_extension("log");
        let (process, endpoints) = Self::spawn(role, folder, "127.0.0.1:0", &args, &log);
        Self { process, role, args, endpoints, folder: folder.to_owned(), log, _scratch: None }
    }

    fn spawn(role: &str, folder: &Path, listen: &str, args: &[String], log: &Path) -> (Child, Endpoints) {
        let errors = fs::File::options().append(true).create(true).open(log).expect("log file");
        let mut process = command()
            .args([role, "--listen", listen, "--data-dir"])
            .arg(folder)
            .args(args)
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .expect("the server starts");
        let mut ready = String::new();
        let out = process.stdout.as_mut().expect("piped");
        BufReader::new(out).read_line(&mut ready).expect("readable");
        assert!(ready.contains("is ready"), "{ready:?}, {}", fs::read_to_string(log).unwrap_or_default());
        let text = fs::read_to_string(folder.join("endpoints.json")).expect("endpoints are published");
        (process, serde_json::from_str(&text).expect("endpoints are JSON"))
    }

    /// Stops it as its owner would.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(rustix::process::Signal::TERM);
        self.process.wait().expect("it ends")
    }

    /// Stops it in the middle of whatever it does, so that it says nothing and is still there.
    pub fn pause(&self) {
        let pid = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(pid, rustix::process::Signal::STOP).expect("it runs");
        let stopped = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::UNTRACED);
        assert!(stopped.expect("it is ours").is_some_and(|(_, status)| status.stopped()));
    }

    /// Where its worker is, as the holder of this token sees it.
    pub fn place(&self, token: &str) -> Place {
        let worker = self.connect_with(token).worker.expect("it said who it is");
        Place { worker, address: self.data().to_owned() }
    }

    /// Kills it in the middle of whatever it does.
    pub fn kill(&mut self) {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it ends");
    }

    /// Starts it again on the same folder.
    pub fn start_again(&mut self) {
        (self.process, self.endpoints) = Self::spawn(self.role, &self.folder, "127.0.0.1:0", &self.args, &self.log);
    }

    /// Starts it again on the same folder and the same ports.
    pub fn start_again_here(&mut self) {
        let mut args = self.args.clone();
        args.extend(["--set".to_owned(), format!("listen.admin={}", self.endpoints.admin)]);
        if let Some(data) = &self.endpoints.data {
            args.extend(["--set".to_owned(), format!("listen.data={data}")]);
        }
        let listen = self.endpoints.control.clone();
        (self.process, self.endpoints) = Self::spawn(self.role, &self.folder, &listen, &args, &self.log);
    }

    /// Stops it in its tracks, as a machine that hangs.
    pub fn freeze(&self) {
        self.signal(rustix::process::Signal::STOP);
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal(rustix::process::Signal::CONT);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(pid, signal).expect("it runs");
    }

    /// What it has logged.
    pub fn logged(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The segments in its folder.
    pub fn segments(&self) -> Vec<PathBuf> {
        super::files(&self.folder.join("segments"), "")
    }

    /// The key that it signs tokens with.
    pub fn key(&self) -> TokenKey {
        let secret = fs::read_to_string(self.folder.join("secret")).expect("there is a secret");
        TokenKey::new(secret.trim().as_bytes()).expect("long enough")
    }

    /// Registers an application and returns its token.
    pub fn register(&self, app: &str) -> String {
        self.try_register(app, "").expect("registered")
    }

    /// Registers an application with this secret.
    pub fn try_register(&self, app: &str, secret: &str) -> Result<String, tonic::Status> {
        let request =
            RegisterApplicationRequest { app: app.into(), tenant: "team".into(), registration_secret: secret.into() };
        let answer = self.coordinator(async |client| client.register_application(request).await)?;
        assert_eq!(answer.get_ref().workers.len(), 1);
        Ok(answer.into_inner().token)
    }

    /// Keeps an application's lease.
    pub fn keep_alive(&self, token: &str) -> Result<(), tonic::Status> {
        let request = KeepAliveRequest { token: token.into(), health: None };
        self.coordinator(async |client| client.keep_alive(request).await).map(drop)
    }

    /// Registers an application of this tenant, with however many workers; returns its token and why it may not grow.
    pub fn register_for(&self, app: &str, tenant: &str) -> Result<(String, String), tonic::Status> {
        let request =
            RegisterApplicationRequest { app: app.into(), tenant: tenant.into(), registration_secret: String::new() };
        let answer = self.coordinator(async |client| client.register_application(request).await)?.into_inner();
        Ok((answer.token, answer.over_quota))
    }

    /// Keeps an application's lease and says how its data fares.
    pub fn keep_alive_with(&self, token: &str, health: ApplicationHealth) -> Result<KeepAliveResponse, tonic::Status> {
        let request = KeepAliveRequest { token: token.into(), health: Some(health) };
        self.coordinator(async |client| client.keep_alive(request).await).map(tonic::Response::into_inner)
    }

    /// Ends an application.
    pub fn end(&self, token: &str) {
        let request = EndApplicationRequest { token: token.into() };
        self.coordinator(async |client| client.end_application(request).await).expect("ended");
    }

    fn coordinator<T>(&self, call: impl AsyncFnOnce(&mut CoordinatorClient<Channel>) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
        runtime.block_on(async {
            let client = CoordinatorClient::connect(format!("http://{}", self.endpoints.control)).await;
            call(&mut client.expect("the control plane answers")).await
        })
    }

    /// A connection for a new application of this name.
    pub fn connect(&self, app: &str) -> Wire {
        self.connect_with(&self.register(app))
    }

    /// A connection with this token.
    pub fn connect_with(&self, token: &str) -> Wire {
        Wire::connect(self.data(), token).expect("welcome")
    }

    /// The address of the data plane.
    pub fn data(&self) -> &str {
        self.endpoints.data.as_deref().expect("it has a worker")
    }

    /// Pushes a small attempt and fetches it again: whatever a test did to the server, it still serves.
    pub fn assert_serves(&self, app: &str) {
        let mut wire = self.connect(app);
        let blocks = [block(0, 0, 1, 0, true, b"still here")];
        wire.push(7, 0, 1, 0, &blocks, Some(fin_of(1, &blocks))).expect("pushed");
        assert_eq!(wire.fetch(7, 0..4, 0..1).expect("fetched"), blocks);
    }

    /// What a path of the admin port answers: status line's code, and body.
    pub fn admin(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.endpoints.admin).expect("the admin port answers");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered");
        let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status line");
        (code, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
    }

    /// What `overhand status --json` says.
    pub fn status(&self) -> serde_json::Value {
        let out = overhand(&["status", "--json", "--coordinator", &self.endpoints.control]);
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        serde_json::from_slice(&out.stdout).expect("JSON")
    }

    /// Waits until nothing of any application is on disk or in memory.
    pub fn assert_gets_empty(&self) {
        eventually("no segment is left", || self.segments().is_empty());
        eventually("nothing is held", || {
            let status = self.status();
            status["workers"][0]["memory_used"] == 0 && status["workers"][0]["disk_used"] == 0
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _over_anyway = self.process.kill();
        let _reaped = self.process.wait();
    }
}

/// The error of a status, as the client would see its kind.
pub fn denied(error: &tonic::Status) -> bool {
    error.code() == tonic::Code::PermissionDenied
}

/// A token of this key that ended long ago.
pub fn old_token(key: &TokenKey, app: &str) -> Result<String, Error> {
    let app: AppId = app.parse().map_err(|error| Error::new(ErrorKind::Invalid, format!("{error}")))?;
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(5000);
    key.sign(&app, "", long_ago, std::time::Duration::from_secs(60))
}
