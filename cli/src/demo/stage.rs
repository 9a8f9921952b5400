//! The processes of the demo: an analyzer, five services, five sidecars. All on loopback, on ports the system chose.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::task::JoinSet;

use super::service::{Neighbours, Ready};
use super::shop::Role;
use super::truth::Truth;
use super::{Failure, Settings};
use crate::Part;
use crate::child::{Child, Stdout};
use crate::client::Client;

/// How long a process may take to end: a sidecar sends its last spans, the analyzer closes its store.
const PATIENCE: Duration = Duration::from_secs(15);

/// What a sidecar says when it listens.
#[derive(Debug, Deserialize)]
struct SidecarReady {
    inbound: Vec<SocketAddr>,
    routes: Vec<SocketAddr>,
}

/// What the analyzer says when it listens.
#[derive(Debug, Deserialize)]
struct AnalyzerReady {
    listen: SocketAddr,
    otlp_grpc: SocketAddr,
}

/// Everything that runs.
#[derive(Debug)]
pub(super) struct Stage {
    analyzer: Analyzer,
    services: Vec<Child>,
    sidecars: Vec<Child>,
    frontend: SocketAddr,
    truth: Arc<Mutex<Truth>>,
    readers: JoinSet<()>,
}

/// What is left when the services and sidecars have ended.
#[derive(Debug)]
pub(super) struct Analyzer {
    child: Child,
    client: Client,
    page: SocketAddr,
    otlp: SocketAddr,
    // Last, because fields are dropped in this order: the folder goes when nobody writes into it any more.
    folder: TempDir,
}

impl Stage {
    /// Starts everything and returns when everything listens.
    pub(super) async fn start(settings: &Settings) -> Result<Self, Failure> {
        let program = std::env::current_exe()
            .map_err(|source| Failure::System { what: "finding this program's own file", source })?;
        let analyzer = Analyzer::start(&program, settings).await?;
        let mut stage = Self {
            analyzer,
            services: Vec::new(),
            sidecars: Vec::new(),
            frontend: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
            truth: Arc::default(),
            readers: JoinSet::new(),
        };
        let mut doors = Neighbours::new();
        for role in Role::CALLEES_FIRST {
            let door = stage.start_service(&program, role, &doors).await?;
            doors.insert(role.name().to_owned(), door);
            stage.frontend = door;
        }
        Ok(stage)
    }

    /// Starts a service and its sidecar. `doors` are the sidecars of those it calls; returns its own sidecar's.
    async fn start_service(&mut self, program: &Path, role: Role, doors: &Neighbours) -> Result<SocketAddr, Failure> {
        let folder = self.analyzer.folder.path();
        let args = [Part::Service.word(), "--role", role.name()];
        let mut service = Child::start(program, args, role.name(), folder, Stdout::Pipe)?;
        if let Some(stdout) = service.take_stdout() {
            let truth = self.truth.clone();
            self.readers.spawn(async move {
                let mut lines = BufReader::new(stdout).lines();
                while let Ok(Some(line)) = lines.next_line().await {
                    truth.lock().unwrap_or_else(PoisonError::into_inner).note(role, &line);
                }
            });
        }
        let Ready { listen } = service.ready().await?;

        let neighbours = || role.neighbours().iter().map(|neighbour| neighbour.name());
        let mut args = vec![Part::Proxy.word().to_owned()];
        let mut flag = |name: &str, value: String| args.extend([name.to_owned(), value]);
        flag("--service", role.name().to_owned());
        flag("--inbound", format!("127.0.0.1:0={listen}"));
        for neighbour in neighbours() {
            let door = doors.get(neighbour).copied().unwrap_or(listen);
            flag("--route", format!("127.0.0.1:0={neighbour}@{door}"));
        }
        flag("--analyzer", format!("http://{}", self.analyzer.otlp));
        flag("--admin", "127.0.0.1:0".to_owned());
        flag("--log-level", "warn".to_owned());
        args.push("--expose-trace-id".to_owned());
        let mut sidecar = Child::start(program, args, &format!("{}-sidecar", role.name()), folder, Stdout::Log)?;
        let ready: SidecarReady = sidecar.ready().await?;

        // The service reaches its neighbours through its own sidecar, and knows nothing of theirs.
        let routes: Neighbours = neighbours().map(str::to_owned).zip(ready.routes).collect();
        let line = serde_json::to_string(&routes)
            .map_err(|error| Failure::System { what: "writing addresses", source: error.into() })?;
        service.tell(&line).await?;
        self.services.push(service);
        self.sidecars.push(sidecar);
        ready.inbound.first().copied().ok_or_else(|| Failure::System {
            what: "reading a sidecar's ready-file",
            source: std::io::Error::other("it names no inbound address"),
        })
    }

    /// Where customers come in: the frontend's sidecar.
    pub(super) fn frontend(&self) -> SocketAddr {
        self.frontend
    }

    /// The analyzer's page.
    pub(super) fn url(&self) -> String {
        let mut page = self.analyzer.page;
        if page.ip().is_unspecified() {
            page.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
        }
        format!("http://{page}/")
    }

    /// The analyzer's API.
    pub(super) fn client(&self) -> &Client {
        &self.analyzer.client
    }

    /// Fails if a process has ended.
    pub(super) fn check(&mut self) -> Result<(), Failure> {
        let children = self.services.iter_mut().chain(&mut self.sidecars).chain([&mut self.analyzer.child]);
        for child in children {
            child.check()?;
        }
        Ok(())
    }

    /// Ends the services, then the sidecars, which send what they still hold; what the services wrote is whole then.
    pub(super) async fn end_services(mut self) -> Result<(Analyzer, Truth), Failure> {
        // First the services: with them go their open connections, for which a sidecar would wait.
        stop_all(self.services).await?;
        stop_all(self.sidecars).await?;
        while self.readers.join_next().await.is_some() {}
        let truth = std::mem::take(&mut *self.truth.lock().unwrap_or_else(PoisonError::into_inner));
        Ok((self.analyzer, truth))
    }
}

impl Analyzer {
    async fn start(program: &Path, settings: &Settings) -> Result<Self, Failure> {
        let folder = tempfile::Builder::new()
            .prefix("raceway-demo-")
            .tempdir()
            .map_err(|source| Failure::System { what: "creating a temporary folder", source })?;
        let data: PathBuf = settings.data_dir.clone().unwrap_or_else(|| folder.path().join("data"));
        let mut child = Child::start(
            program,
            [
                Part::Analyzer.word().as_ref(),
                "--data-dir".as_ref(),
                data.as_os_str(),
                "--listen".as_ref(),
                settings.listen.to_string().as_ref(),
                "--otlp-grpc".as_ref(),
                "127.0.0.1:0".as_ref(),
                "--otlp-http".as_ref(),
                "127.0.0.1:0".as_ref(),
            ],
            "analyzer",
            folder.path(),
            Stdout::Log,
        )?;
        let AnalyzerReady { listen: page, otlp_grpc: otlp } = child.ready().await?;
        Ok(Self { child, client: Client::new(page), page, otlp, folder })
    }

    /// The analyzer's API.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Ends the analyzer and removes the temporary folder.
    pub(super) async fn end(self) -> Result<(), Failure> {
        let status = self.child.stop(PATIENCE).await;
        drop(self.folder);
        status?;
        Ok(())
    }
}

/// Ends processes side by side.
async fn stop_all(children: Vec<Child>) -> Result<(), Failure> {
    let mut stopping: JoinSet<_> = children.into_iter().map(|child| child.stop(PATIENCE)).collect();
    let mut first_failure = None;
    while let Some(stopped) = stopping.join_next().await {
        let stopped = stopped.map_err(|error| Failure::System { what: "ending a process", source: error.into() })?;
        if let Err(error) = stopped {
            first_failure.get_or_insert(error);
        }
    }
    first_failure.map_or(Ok(()), |error| Err(error.into()))
}
