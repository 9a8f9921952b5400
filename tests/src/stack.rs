//! Services behind sidecars, and an analyzer: started from a few lines, and stopped without a trace.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use raceway_cli::Part;
use raceway_cli::child::{Child, Stdout};
use serde::Deserialize;
use tempfile::TempDir;

use crate::analyzer::{Addresses, Analyzer, end};
use crate::app::{App, Behaviour};
use crate::http::{self, Answer};
use crate::topology::Topology;
use crate::{PATIENCE, program};

/// The command of an application in another process, once it is known where the analyzer is.
struct Process(Box<dyn Fn(Addresses) -> Vec<String>>);

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Process")
    }
}

/// A stack to be started: who calls whom, and what is out of the ordinary.
#[derive(Debug)]
pub struct Builder {
    topology: Topology,
    behaviours: BTreeMap<String, Behaviour>,
    processes: BTreeMap<String, Process>,
    without_sidecar: Vec<String>,
    in_a_row: BTreeMap<String, usize>,
    flags: Vec<(String, String)>,
    analyzer_url: Option<String>,
}

/// Services behind sidecars, and an analyzer, all running.
#[derive(Debug)]
pub struct Stack {
    analyzer: Analyzer,
    services: BTreeMap<String, Service>,
    entry: String,
    // Last: the folder goes when nobody writes into it any more.
    folder: TempDir,
}

#[derive(Debug)]
struct Service {
    application: Application,
    /// Where callers come in: the outermost sidecar, or the application if there is none.
    door: SocketAddr,
    /// The application's own first.
    sidecars: Vec<Sidecar>,
}

#[derive(Debug)]
enum Application {
    Here(App),
    Process(Box<Child>),
}

/// A running sidecar.
#[derive(Debug)]
pub struct Sidecar {
    child: Child,
    addresses: SidecarAddresses,
}

#[derive(Debug, Deserialize)]
struct SidecarAddresses {
    inbound: Vec<SocketAddr>,
    outbound: Option<SocketAddr>,
    routes: Vec<SocketAddr>,
    admin: Option<SocketAddr>,
}

/// What an application in another language says when it listens.
#[derive(Debug, Deserialize)]
struct ProcessReady {
    listen: SocketAddr,
}

impl Builder {
    /// Gives an application another behaviour than to call its neighbours at once and answer 200.
    pub fn behave(mut self, service: &str, behaviour: Behaviour) -> Self {
        self.behaviours.insert(service.to_owned(), behaviour);
        self
    }

    /// Time that an application takes for itself.
    pub fn own_time(self, service: &str, own: Duration) -> Self {
        self.behave(service, Behaviour { own, ..Behaviour::default() })
    }

    /// Runs this command as the application. It gets `--ready-file FILE`, writes `{"listen":"127.0.0.1:…"}` there, and
    /// reads `{"neighbour":"127.0.0.1:…"}` from stdin.
    pub fn process(self, service: &str, command: &[&str]) -> Self {
        let command: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
        self.process_told(service, move |_| command.clone())
    }

    /// Like [`Builder::process`], for a command that has to be told where the analyzer is.
    pub fn process_told(mut self, service: &str, command: impl Fn(Addresses) -> Vec<String> + 'static) -> Self {
        self.processes.insert(service.to_owned(), Process(Box::new(command)));
        self
    }

    /// Leaves a service without a sidecar: callers reach the application itself, which calls its callees' sidecars.
    pub fn without_sidecar(mut self, service: &str) -> Self {
        self.without_sidecar.push(service.to_owned());
        self
    }

    /// Puts so many sidecars in front of a service, one behind the other.
    pub fn sidecars(mut self, service: &str, count: usize) -> Self {
        self.in_a_row.insert(service.to_owned(), count);
        self
    }

    /// A further flag for a service's sidecars.
    pub fn flag(mut self, service: &str, flag: &str) -> Self {
        self.flags.push((service.to_owned(), flag.to_owned()));
        self
    }

    /// Where sidecars send spans, in place of the stack's analyzer.
    pub fn analyzer_url(mut self, url: &str) -> Self {
        self.analyzer_url = Some(url.to_owned());
        self
    }

    /// Starts everything; returns when everything listens.
    pub async fn start(self) -> Stack {
        let folder = tempfile::Builder::new().prefix("raceway-test-").tempdir().expect("a temporary folder");
        let analyzer = Analyzer::start(folder.path()).await;
        let url = self.analyzer_url.clone().unwrap_or_else(|| format!("http://{}", analyzer.addresses().otlp_grpc));
        let mut services: BTreeMap<String, Service> = BTreeMap::new();
        for name in self.topology.callees_first() {
            let doors: Vec<(String, SocketAddr)> = self
                .topology
                .neighbours(&name)
                .into_iter()
                .map(|callee| (callee.clone(), services.get(&callee).expect("callees come first").door))
                .collect();
            let service = self.start_service(&name, &doors, &url, analyzer.addresses(), folder.path()).await;
            services.insert(name, service);
        }
        Stack { analyzer, services, entry: self.topology.entry, folder }
    }

    async fn start_service(
        &self,
        name: &str,
        doors: &[(String, SocketAddr)],
        url: &str,
        analyzer: Addresses,
        folder: &Path,
    ) -> Service {
        let (mut application, address) = match self.processes.get(name) {
            Some(Process(command)) => {
                let command = command(analyzer);
                let (program, args) = command.split_first().expect("a command has a program");
                let mut child = Child::start(Path::new(program), args, name, folder, Stdout::Log)
                    .unwrap_or_else(|error| panic!("{error}"));
                let ready: ProcessReady = child.ready().await.unwrap_or_else(|error| panic!("{error}"));
                (Application::Process(Box::new(child)), ready.listen)
            }
            None => {
                let calls = self.topology.calls.get(name).cloned().unwrap_or_default();
                let app = App::start(name, calls, self.behaviours.get(name).cloned().unwrap_or_default()).await;
                let address = app.address();
                (Application::Here(app), address)
            }
        };
        let flags: Vec<String> = self.flags.iter().filter(|(of, _)| of == name).map(|(_, flag)| flag.clone()).collect();
        let mut target = address;
        let mut sidecars = Vec::new();
        let count = if self.without_sidecar.iter().any(|bare| bare == name) { 0 } else { 1 };
        for place in 0..self.in_a_row.get(name).copied().unwrap_or(count) {
            // Only the application's own sidecar has routes: the application calls through that one.
            let routes = if place == 0 { doors } else { &[] };
            let sidecar = Sidecar::start(name, place, target, routes, url, &flags, folder).await;
            target = sidecar.inbound();
            sidecars.push(sidecar);
        }
        let ways = match sidecars.first() {
            Some(own) => own.addresses.routes.clone(),
            None => doors.iter().map(|(_, door)| *door).collect(),
        };
        let neighbours: BTreeMap<String, SocketAddr> = doors.iter().map(|(name, _)| name.clone()).zip(ways).collect();
        match &mut application {
            Application::Here(app) => app.meet(neighbours),
            Application::Process(child) => {
                let line = serde_json::to_string(&neighbours).expect("plain text");
                child.tell(&line).await.unwrap_or_else(|error| panic!("{error}"));
            }
        }
        Service { application, door: target, sidecars }
    }
}

impl Stack {
    /// Starts services that call each other as the lines say; the first one named is where requests come in.
    pub async fn start<'a>(lines: impl IntoIterator<Item = &'a str>) -> Self {
        Self::of(lines).start().await
    }

    /// A stack to be changed before it is started.
    pub fn of<'a>(lines: impl IntoIterator<Item = &'a str>) -> Builder {
        Builder {
            topology: Topology::parse(lines),
            behaviours: BTreeMap::new(),
            processes: BTreeMap::new(),
            without_sidecar: Vec::new(),
            in_a_row: BTreeMap::new(),
            flags: Vec::new(),
            analyzer_url: None,
        }
    }

    /// `GET path` at the entry, answered with 200.
    pub async fn get(&self, path: &str) -> Answer {
        let answer = self.get_with(path, &[]).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer
    }

    /// `GET path` at the entry with these headers, whatever the answer.
    pub async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let headers: Vec<(&str, &[u8])> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        http::get(self.door(), path, &headers).await
    }

    /// Where requests come in.
    pub fn door(&self) -> SocketAddr {
        self.door_of(&self.entry)
    }

    /// Where the callers of a service come in.
    pub fn door_of(&self, service: &str) -> SocketAddr {
        self.service(service).door
    }

    /// The analyzer.
    pub fn analyzer(&self) -> &Analyzer {
        &self.analyzer
    }

    /// The analyzer, to be stopped and started.
    pub fn analyzer_mut(&mut self) -> &mut Analyzer {
        &mut self.analyzer
    }

    /// The application of a service that runs in the test's process.
    pub fn app(&self, service: &str) -> &App {
        match &self.service(service).application {
            Application::Here(app) => app,
            Application::Process(_) => panic!("{service} is a process of its own"),
        }
    }

    /// A service's sidecar; the application's own, if there are several in a row.
    pub fn sidecar(&self, service: &str) -> &Sidecar {
        self.service(service).sidecars.first().expect("every service has one")
    }

    /// Where logs and ready-files are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Waits until a span is stored for every request that the applications served and every call they made.
    pub async fn settle(&self) {
        self.analyzer.settle(self.spans_expected()).await;
    }

    /// A span per request served, for each sidecar it came through, and one per call made.
    pub fn spans_expected(&self) -> u64 {
        let spans = |service: &Service| match &service.application {
            Application::Here(app) => {
                let (served, called) = app.counts();
                served * service.sidecars.len() as u64 + called
            }
            Application::Process(child) => panic!("{} keeps no count: say how many spans to wait for", child.name()),
        };
        self.services.values().map(spans).sum()
    }

    /// Stops everything. The test fails if anything panicked, hangs, or is left.
    pub async fn stop(mut self) {
        let mut processes = Vec::new();
        let mut sidecars = Vec::new();
        for service in std::mem::take(&mut self.services).into_values() {
            sidecars.extend(service.sidecars);
            match service.application {
                Application::Here(app) => app.stop().await,
                Application::Process(child) => processes.push(child),
            }
        }
        for child in processes {
            // How a program in another language ends on SIGTERM is its own affair, as long as it ends.
            child.stop(PATIENCE).await.unwrap_or_else(|error| panic!("{error}"));
        }
        for sidecar in sidecars {
            end(sidecar.child).await;
        }
        self.analyzer.stop().await;
    }

    fn service(&self, name: &str) -> &Service {
        self.services.get(name).unwrap_or_else(|| panic!("there is no service {name}"))
    }
}

impl Sidecar {
    pub(crate) async fn start(
        service: &str,
        place: usize,
        target: SocketAddr,
        routes: &[(String, SocketAddr)],
        analyzer: &str,
        flags: &[String],
        folder: &Path,
    ) -> Self {
        let mut args = vec![
            Part::Proxy.word().to_owned(),
            format!("--service={service}"),
            format!("--inbound=127.0.0.1:0={target}"),
            format!("--analyzer={analyzer}"),
            "--admin=127.0.0.1:0".to_owned(),
            "--outbound=127.0.0.1:0".to_owned(),
        ];
        args.extend(routes.iter().map(|(callee, door)| format!("--route=127.0.0.1:0={callee}@{door}")));
        args.extend(flags.iter().cloned());
        let name = format!("{service}-sidecar-{place}");
        let mut child =
            Child::start(&program(), args, &name, folder, Stdout::Log).unwrap_or_else(|error| panic!("{error}"));
        let addresses = child.ready().await.unwrap_or_else(|error| panic!("{error}"));
        Self { child, addresses }
    }

    /// Where callers come in.
    pub fn inbound(&self) -> SocketAddr {
        *self.addresses.inbound.first().expect("one --inbound was given")
    }

    /// Where callers come in: by the stack's own `--inbound` first, then by those that flags added.
    pub fn all_inbound(&self) -> &[SocketAddr] {
        &self.addresses.inbound
    }

    /// Local ports that lead to others: the neighbours' first, then those that flags added.
    pub fn routes(&self) -> &[SocketAddr] {
        &self.addresses.routes
    }

    /// The forward proxy.
    pub fn outbound(&self) -> SocketAddr {
        self.addresses.outbound.expect("--outbound was given")
    }

    /// The admin listener.
    pub fn admin(&self) -> SocketAddr {
        self.addresses.admin.expect("--admin was given")
    }

    /// What it wrote.
    pub fn log(&self) -> String {
        self.child.log()
    }

    pub(crate) fn child(&self) -> &Child {
        &self.child
    }

    pub(crate) fn into_child(self) -> Child {
        self.child
    }
}
