//! nginx and HAProxy as real processes, on Unix sockets in a folder of their own.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A program that ends with the test, also with a test that is killed: a shell ends it when its own input does.
struct Process(Child);

impl Process {
    /// None where it is not installed.
    fn start(program: &str, arguments: &[&Path], log: fs::File) -> Option<Process> {
        // Debian keeps servers where only root's PATH looks.
        let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/usr/local/sbin";
        let program = std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())?;
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", "\"$@\" & read -r line; kill $!; wait", "sh"]).arg(program).args(arguments);
        shell.stdin(Stdio::piped()).stdout(log.try_clone().expect("a copy")).stderr(log);
        Some(Process(shell.spawn().expect("a shell")))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // Whatever became of it, it is over then.
        let _ = self.0.wait();
    }
}

/// One way to send something through somebody else: where to connect, and where that connects to.
#[derive(Clone)]
pub(crate) struct Route {
    pub(crate) peer: &'static str,
    /// Connected to by the sender.
    pub(crate) front: PathBuf,
    /// Listened on by the receiver. The same as `front` where nobody stands between.
    pub(crate) back: PathBuf,
}

/// The others, started, and several routes through each so that several cases can be tried at a time.
pub(crate) struct Peers {
    folder: TempDir,
    processes: Vec<Process>,
    names: Vec<&'static str>,
    lanes: usize,
}

impl Peers {
    /// Starts what is installed and says loudly what is not.
    pub(crate) fn start(lanes: usize) -> Peers {
        let folder = tempfile::tempdir().expect("a folder");
        let mut peers = Peers { folder, processes: Vec::new(), names: vec!["hyper"], lanes };
        let root = peers.folder.path().to_owned();
        let nginx = root.join("nginx.conf");
        fs::write(&nginx, nginx_config(&root, lanes)).expect("writable");
        let log = root.join("nginx.log");
        let arguments = ["-p".as_ref(), root.as_path(), "-c".as_ref(), &nginx, "-e".as_ref(), &log];
        peers.add(&["nginx"], &arguments);
        let haproxy = root.join("haproxy.cfg");
        fs::write(&haproxy, haproxy_config(&root, lanes)).expect("writable");
        peers.add(&["haproxy", "haproxy-tolerant"], &["-db".as_ref(), "-f".as_ref(), &haproxy]);
        peers
    }

    /// `names`: the first is the program's, all are peers that it plays.
    fn add(&mut self, names: &[&'static str], arguments: &[&Path]) {
        let name = names[0];
        let output = self.folder.path().join(format!("{name}.out"));
        let log = fs::File::create(&output).expect("writable");
        let Some(process) = Process::start(name, arguments, log) else {
            eprintln!("SKIPPED: {name} is not installed, so nothing is compared with it");
            return;
        };
        let until = Instant::now() + Duration::from_secs(20);
        for (peer, lane) in names.iter().flat_map(|peer| (0..self.lanes).map(move |lane| (peer, lane))) {
            while UnixStream::connect(self.path(peer, lane, "front")).is_err() {
                if Instant::now() > until {
                    panic!("{name} does not listen: {}", fs::read_to_string(&output).unwrap_or_default());
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        self.names.extend(names);
        self.processes.push(process);
    }

    fn path(&self, name: &str, lane: usize, end: &str) -> PathBuf {
        socket(self.folder.path(), name, lane, end)
    }

    /// The routes of one lane.
    pub(crate) fn routes(&self, lane: usize) -> Vec<Route> {
        let route = |&peer: &&'static str| {
            let back = self.path(peer, lane, "back");
            let front = if peer == "hyper" { back.clone() } else { self.path(peer, lane, "front") };
            Route { peer, front, back }
        };
        self.names.iter().map(route).collect()
    }
}

fn socket(root: &Path, name: &str, lane: usize, end: &str) -> PathBuf {
    root.join(format!("{name}-{lane}-{end}"))
}

/// As transparent and as tolerant as nginx can be: what it takes is compared, not what it refuses.
fn nginx_config(root: &Path, lanes: usize) -> String {
    let servers: String = (0..lanes)
        .map(|lane| {
            let (front, back) = (socket(root, "nginx", lane, "front"), socket(root, "nginx", lane, "back"));
            format!(
                "upstream back{lane} {{ server unix:{}; keepalive 4; }}\n\
                 server {{ listen unix:{}; location / {{ proxy_pass http://back{lane}; }} }}\n",
                back.display(),
                front.display(),
            )
        })
        .collect();
    format!(
        "daemon off;\nmaster_process off;\npid {root}/nginx.pid;\nevents {{ }}\n\
         http {{\n\
         access_log off;\nlingering_close off;\nkeepalive_timeout 20s;\nkeepalive_requests 1000000;\n\
         ignore_invalid_headers off;\nunderscores_in_headers on;\nlarge_client_header_buffers 4 64k;\n\
         client_body_buffer_size 1m;\nclient_body_temp_path {root}/a;\nproxy_temp_path {root}/b;\n\
         fastcgi_temp_path {root}/c;\nuwsgi_temp_path {root}/d;\nscgi_temp_path {root}/e;\n\
         proxy_http_version 1.1;\nproxy_set_header Host $http_host;\nproxy_set_header Connection \"\";\n\
         proxy_next_upstream off;\nproxy_pass_header Date;\nproxy_pass_header Server;\n\
         {servers}}}\n",
        root = root.display(),
    )
}

fn haproxy_config(root: &Path, lanes: usize) -> String {
    let server = |peer: &str, lane: usize, front_option: &str, back_option: &str| {
        let (front, back) = (socket(root, peer, lane, "front"), socket(root, peer, lane, "back"));
        format!(
            "frontend {peer}{lane}\n  bind unix@{}\n  {front_option}\n  default_backend {peer}{lane}\n\
             backend {peer}{lane}\n  http-reuse always\n  {back_option}\n  server back unix@{}\n",
            front.display(),
            back.display(),
        )
    };
    let (request, response) = ("option accept-invalid-http-request", "option accept-invalid-http-response");
    let lanes: String = (0..lanes)
        .map(|lane| server("haproxy", lane, "", "") + &server("haproxy-tolerant", lane, request, response))
        .collect();
    format!(
        "global\n  maxconn 200\ndefaults\n  mode http\n  retries 0\n  timeout connect 5s\n  timeout client 20s\n  \
         timeout server 20s\n  timeout http-request 20s\n{lanes}"
    )
}
