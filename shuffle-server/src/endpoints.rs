//! Where a process can be reached: bound before anything else, written down for others to find.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use overhand_common::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use crate::config::{Listen, machine_name, split};

const FILE: &str = "endpoints.json";

/// The addresses that others reach a process by, each `host:port`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints {
    /// The control plane (gRPC).
    pub control: String,
    /// The data plane; none for a coordinator.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub data: Option<String>,
    /// `/metrics`, `/healthz`, `/readyz` (HTTP).
    pub admin: String,
}

/// The sockets behind the endpoints.
pub struct Listeners {
    /// The control plane.
    pub control: TcpListener,
    /// The data plane; none for a coordinator.
    pub data: Option<TcpListener>,
    /// The admin port.
    pub admin: TcpListener,
}

impl Listeners {
    /// Binds all that a process needs. One that is taken is named with what it is for and how to change it.
    pub async fn bind(listen: &Listen, with_data: bool) -> Result<Self> {
        let (host, port) = split(&listen.control).unwrap_or((&listen.control, 0));
        let beside = |offset: u16| {
            let port = if port == 0 { 0 } else { port.saturating_add(offset) };
            format!("{host}:{port}")
        };
        let or_beside = |address: &str, offset| {
            if address.is_empty() { beside(offset) } else { address.to_owned() }
        };
        let control = bind(&listen.control, "the control plane", "--listen HOST:PORT").await?;
        let data = or_beside(&listen.data, 1);
        let data = match with_data {
            true => Some(bind(&data, "the data plane", "--set listen.data=HOST:PORT, or move all by --listen").await?),
            false => None,
        };
        let admin = or_beside(&listen.admin, 2);
        let admin = bind(&admin, "metrics and health", "--set listen.admin=HOST:PORT, or move all by --listen").await?;
        Ok(Self { control, data, admin })
    }

    /// The addresses for others: the advertised host if there is one.
    pub fn endpoints(&self, advertise: &str) -> Result<Endpoints> {
        let name = |listener: &TcpListener| -> Result<String> {
            let address = local(listener)?;
            let host = match advertise {
                "" if address.ip().is_unspecified() => machine_name(),
                "" => return Ok(address.to_string()),
                host => host.to_owned(),
            };
            Ok(format!("{host}:{}", address.port()))
        };
        Ok(Endpoints {
            control: name(&self.control)?,
            data: self.data.as_ref().map(name).transpose()?,
            admin: name(&self.admin)?,
        })
    }

    /// The control plane's address for this process itself.
    pub fn own_control(&self) -> Result<String> {
        let mut address = local(&self.control)?;
        if address.ip().is_unspecified() {
            address.set_ip(if address.is_ipv4() {
                [127, 0, 0, 1].into()
            } else {
                std::net::Ipv6Addr::LOCALHOST.into()
            });
        }
        Ok(address.to_string())
    }
}

impl Endpoints {
    /// Those of the server that runs on a data folder.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        let text = fs::read_to_string(&path).map_err(|error| {
            let text = format!("{} can't be read ({error}): no server runs on this folder", path.display());
            Error::new(ErrorKind::NotFound, text)
        })?;
        serde_json::from_str(&text)
            .map_err(|error| Error::new(ErrorKind::Invalid, format!("{} is damaged: {error}", path.display())))
    }

    /// Writes them into a data folder; the file is there as long as the returned value.
    pub fn publish(&self, folder: &Path) -> Result<Published> {
        let path = folder.join(FILE);
        let text = serde_json::to_string_pretty(self).expect("texts only") + "\n";
        let draft = folder.join("endpoints.json.new");
        let written = fs::write(&draft, text).and_then(|()| fs::rename(&draft, &path));
        written.map_err(|error| {
            Error::new(ErrorKind::Internal, format!("{} could not be written: {error}", path.display()))
        })?;
        Ok(Published { path })
    }
}

/// Removes the file of the endpoints when dropped.
#[derive(Debug)]
pub struct Published {
    path: PathBuf,
}

impl Drop for Published {
    fn drop(&mut self) {
        let _gone_is_fine = fs::remove_file(&self.path);
    }
}

async fn bind(address: &str, purpose: &str, change: &str) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let reason = match error.kind() {
            io::ErrorKind::AddrInUse => "another process listens there".to_owned(),
            _ => error.to_string(),
        };
        let text = format!("{address}, for {purpose}, can't be listened on: {reason}; choose another by {change}");
        Error::new(ErrorKind::Invalid, text)
    })
}

fn local(listener: &TcpListener) -> Result<SocketAddr> {
    let address = listener.local_addr();
    address.map_err(|error| Error::new(ErrorKind::Internal, format!("a socket has no address: {error}")))
}
