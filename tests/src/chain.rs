//! Sidecars in front of any address: what a conversation passes through, and what it is compared with.

use std::net::SocketAddr;
use std::path::Path;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::PATIENCE;
use crate::analyzer::{Analyzer, end};
use crate::http;
use crate::stack::Sidecar;

/// No sidecar, one, or several in a row, in front of an address.
#[derive(Debug)]
pub struct Chain {
    target: SocketAddr,
    /// The one next to the target first.
    sidecars: Vec<Sidecar>,
    analyzer: Option<Analyzer>,
    // Last: the folder goes when nobody writes into it any more.
    folder: TempDir,
}

impl Chain {
    /// So many sidecars in a row; none is the target itself.
    pub async fn before(target: SocketAddr, sidecars: usize) -> Self {
        Self::with(target, sidecars, &[]).await
    }

    /// The same, each sidecar with these flags.
    pub async fn with(target: SocketAddr, sidecars: usize, flags: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("raceway-test-").tempdir().expect("a temporary folder");
        let analyzer = if sidecars == 0 { None } else { Some(Analyzer::start(folder.path()).await) };
        let mut chain = Self { target, sidecars: Vec::new(), analyzer, folder };
        for place in 0..sidecars {
            let sidecar = chain.start(place, flags).await;
            chain.sidecars.push(sidecar);
        }
        chain
    }

    async fn start(&self, place: usize, flags: &[&str]) -> Sidecar {
        let analyzer = self.analyzer.as_ref().expect("sidecars come with an analyzer").addresses().otlp_grpc;
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let url = format!("http://{analyzer}");
        let folder: &Path = self.folder.path();
        Sidecar::start("app", place, self.door(), &[], &url, &flags, folder).await
    }

    /// Where callers come in.
    pub fn door(&self) -> SocketAddr {
        self.sidecars.last().map_or(self.target, Sidecar::inbound)
    }

    /// The one that callers reach.
    pub fn outermost(&self) -> &Sidecar {
        self.sidecars.last().expect("there is a sidecar")
    }

    /// Starts another sidecar beside the outermost one, on the same address, in front of the same target.
    pub async fn replace(&mut self, flags: &[&str]) -> Sidecar {
        let place = self.sidecars.len();
        let old = self.sidecars.pop().expect("there is a sidecar");
        let new = self.start(place + 100, flags).await;
        self.sidecars.push(new);
        old
    }

    /// What was stored about what passed.
    pub fn analyzer(&self) -> &Analyzer {
        self.analyzer.as_ref().expect("there are sidecars")
    }

    /// Stops everything. Fails the test if anything panicked, hung, or ended with an error.
    pub async fn stop(mut self) {
        while let Some(sidecar) = self.sidecars.pop() {
            sidecar.stop().await;
        }
        if let Some(mut analyzer) = self.analyzer.take() {
            analyzer.stop().await;
        }
    }
}

impl Sidecar {
    /// The sum of the samples of a metric whose labels contain all of these texts; none is 0.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let text = http::get(self.admin(), "/metrics", &[]).await.text();
        let samples = text.lines().filter_map(|line| line.strip_prefix("raceway_proxy_")?.strip_prefix(name));
        samples
            .filter(|rest| rest.starts_with(['{', ' ']) && labels.iter().all(|label| rest.contains(label)))
            .filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// Waits until a metric has reached a value.
    pub async fn metric_reaches(&self, name: &str, labels: &[&str], least: f64) {
        let until = tokio::time::Instant::now() + PATIENCE;
        loop {
            let value = self.metric(name, labels).await;
            if value >= least {
                return;
            }
            assert!(tokio::time::Instant::now() < until, "{name}{labels:?} is {value}, not {least}");
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child().id().expect("it runs")
    }

    /// Memory that it holds, in KiB.
    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux says");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// Sends it SIGTERM, and goes on.
    pub fn terminate(&self) {
        let pid = i32::try_from(self.id()).ok().and_then(rustix::process::Pid::from_raw).expect("a process id");
        rustix::process::kill_process(pid, Signal::TERM).expect("it runs");
    }

    /// Stops it. Fails the test if it panicked, hung, or ended with an error.
    pub async fn stop(self) {
        end(self.into_child()).await;
    }
}
