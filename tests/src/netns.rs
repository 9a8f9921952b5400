//! Two hosts made of network namespaces: `inside`, with an application and its sidecar, and `outside`, where callers
//! and other services are. A cable joins them.
//!
//! A namespace lives as long as a process of ours reads from a pipe that this process holds: whatever becomes of the
//! test, nothing is left.

use std::io::{BufRead, BufReader};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child as Process, Command, Output, Stdio};

use raceway_cli::Part;
use raceway_cli::child::{Child, Stdout};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::analyzer::end;
use crate::{http, program, skip};

/// The hosts' addresses end in 1 inside and in 2 outside: private ones, and one that is not.
const NETWORKS: [(&str, u8); 3] = [("10.99.0.", 24), ("fd99::", 64), ("203.0.113.", 24)];

/// The names that sidecars know here.
const HOSTS: &str =
    "127.0.0.1 localhost\n10.99.0.2 partner.example\n203.0.113.2 payment shop.example payment.shop.svc\n";

/// What makes a program run as the sidecar's usual user, wherever the test's files lie.
const AS_SIDECAR: &str = "setpriv --reuid 1500 --regid 1500 --clear-groups --inh-caps CAPS --ambient-caps CAPS --";
const CAPS: &str = "+dac_override,+dac_read_search";

/// What it takes beside to call the application in its callers' names.
const CALLERS_NAMES: (&str, &str) = ("--inbound-source caller", ",+net_raw");

/// The two hosts. The test's thread is outside.
#[derive(Debug)]
pub struct World {
    /// With the application and its sidecar.
    pub inside: Namespace,
    /// With everything else.
    pub outside: Namespace,
}

impl World {
    /// Makes the hosts and moves the calling thread, and with it whatever it starts, to the outside one. `None`, loudly,
    /// where this is not possible.
    pub fn new() -> Option<Self> {
        let make = || {
            let (inside, outside) = (Namespace::new(1)?, Namespace::new(2)?);
            let cable =
                format!("link add wire netns {} type veth peer name wire netns {}", inside.pid(), outside.pid());
            run(Command::new("ip").args(cable.split(' ')))?;
            for host in [&inside, &outside] {
                for (network, bits) in NETWORKS {
                    // Without waiting for the neighbours to object to an IPv6 address.
                    let nodad = if network.contains(':') { " nodad" } else { "" };
                    host.try_run(&format!("ip address add {network}{}/{bits} dev wire{nodad}", host.place))?;
                }
                host.try_run("ip link set lo up")?;
                host.try_run("ip link set wire up")?;
            }
            outside.enter()?;
            Ok(Self { inside, outside })
        };
        make()
            .map_err(|why: String| {
                skip(&format!("network namespaces need root, unshare, nsenter, setpriv and ip: {why}"))
            })
            .ok()
    }
}

/// A running sidecar.
#[derive(Debug)]
pub struct Sidecar {
    child: Child,
    admin: SocketAddr,
}

impl Sidecar {
    /// Its metrics whose line contains all of these words, added up.
    pub async fn count(&self, words: &[&str]) -> f64 {
        let text = http::get(self.admin, "/metrics", &[]).await.text();
        let lines = text.lines().filter(|line| words.iter().all(|word| line.contains(word)));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// What it wrote.
    pub fn log(&self) -> String {
        self.child.log()
    }

    /// Stops it; the test fails if it panicked or hangs.
    pub async fn stop(self) {
        end(self.child).await;
    }
}

/// A network namespace.
#[derive(Debug)]
pub struct Namespace {
    holder: Process,
    /// What its addresses end in.
    place: u8,
}

impl Namespace {
    fn new(place: u8) -> Result<Self, String> {
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", "echo made && exec cat"]);
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut holder = spawned.map_err(|error| format!("unshare: {error}"))?;
        let said = first_line(&mut holder);
        let namespace = Self { holder, place };
        if said == "made" { Ok(namespace) } else { Err("unshare --net failed".to_owned()) }
    }

    fn pid(&self) -> u32 {
        self.holder.id()
    }

    fn net(&self) -> String {
        format!("--net=/proc/{}/ns/net", self.pid())
    }

    /// Starts a sidecar here, in transparent mode unless the flags say otherwise. Its admin listener can be asked from the other host too.
    pub async fn sidecar(&self, analyzer: SocketAddr, flags: &str, folder: &Path) -> Sidecar {
        let net = self.net();
        let program = program().display().to_string();
        let hosts = folder.join(format!("hosts-{}", self.place));
        std::fs::write(&hosts, HOSTS).expect("the test's folder can be written");
        let mount = format!("mount --bind {} /etc/hosts && exec \"$@\"", hosts.display());
        let mut args = vec![net.as_str(), "unshare", "--mount", "sh", "-c", &mount, "sh"];
        let more = if flags.contains(CALLERS_NAMES.0) { CALLERS_NAMES.1 } else { "" };
        let as_sidecar = AS_SIDECAR.replace("CAPS", &format!("{CAPS}{more}"));
        args.extend(as_sidecar.split_whitespace());
        args.extend([&program, Part::Proxy.word(), "--service=app"]);
        if !flags.contains("--mode") {
            args.push("--mode=transparent");
        }
        let analyzer = format!("--analyzer=http://{analyzer}");
        let admin = SocketAddr::from(([10, 99, 0, self.place], 15020));
        let listen = format!("--admin={admin}");
        args.extend([analyzer.as_str(), &listen]);
        args.extend(flags.split_whitespace());
        let mut child =
            Child::start(Path::new("nsenter"), args, &format!("sidecar-{}", self.place), folder, Stdout::Log)
                .unwrap_or_else(|error| panic!("{error}"));
        let _: serde_json::Value = child.ready().await.unwrap_or_else(|error| panic!("{error}"));
        Sidecar { child, admin }
    }

    /// `raceway-proxy intercept …` here: its exit code and what it printed, errors included.
    pub fn intercept(&self, args: &str) -> (Option<i32>, String) {
        let program = program().display().to_string();
        let args = [Part::Proxy.word(), "intercept"].into_iter().chain(args.split_whitespace());
        let output = output(self.command(&program).args(args)).expect("the program starts");
        let text = [output.stdout.as_slice(), &output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&text).into_owned())
    }

    /// A command that runs here.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(self.net()).arg(program);
        command
    }

    /// Runs a command line here; what it printed. It must succeed.
    pub fn run(&self, line: &str) -> String {
        self.try_run(line).unwrap_or_else(|error| panic!("{error}"))
    }

    fn try_run(&self, line: &str) -> Result<String, String> {
        run(self.command("sh").args(["-c", line]))
    }

    /// Starts a program here that runs until it is dropped; it has to print a line when it is ready.
    pub fn start(&self, program: &str, args: &[&str]) -> Program {
        let mut started = self.command(program);
        started.args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = started.spawn().unwrap_or_else(|error| panic!("{program}: {error}"));
        let said = first_line(&mut process);
        assert!(!said.is_empty(), "{program} ended before it was ready");
        Program(process)
    }

    /// Moves the calling thread here, and whatever it opens and starts from now on.
    pub fn enter(&self) -> Result<(), String> {
        let path = format!("/proc/{}/ns/net", self.pid());
        let file = std::fs::File::open(&path).map_err(|error| format!("{path}: {error}"))?;
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).map_err(|error| error.to_string())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        stop(&mut self.holder);
    }
}

/// A program in a namespace, until it is dropped.
#[derive(Debug)]
pub struct Program(Process);

impl Drop for Program {
    fn drop(&mut self) {
        stop(&mut self.0);
    }
}

fn stop(process: &mut Process) {
    // It may have ended by itself.
    let _ = process.kill();
    let _ = process.wait();
}

fn first_line(process: &mut Process) -> String {
    let mut line = String::new();
    let stdout = process.stdout.take().expect("stdout is a pipe");
    let mut reader = BufReader::new(stdout);
    reader.read_line(&mut line).expect("a line of text");
    // Kept open: a program that goes on printing must not end by it.
    process.stdout = Some(reader.into_inner());
    line.trim().to_owned()
}

fn run(command: &mut Command) -> Result<String, String> {
    let output = output(command).map_err(|error| format!("{command:?}: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// Runs a command to its end with its stdin open: where that closes, our program takes its parent for gone.
fn output(command: &mut Command) -> std::io::Result<Output> {
    let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let stdin = process.stdin.take();
    let output = process.wait_with_output();
    drop(stdin);
    output
}

/// A service in the test's own process: answers every request with `outside`, and notes the requests' heads.
#[derive(Debug)]
pub struct Service {
    heads: mpsc::Receiver<String>,
    // Ends with its owner.
    _tasks: JoinSet<()>,
}

impl Service {
    /// Listens on these addresses of the test's namespace.
    pub async fn start(addresses: &[(&str, u16)]) -> Self {
        let (note, heads) = mpsc::channel(64);
        let mut tasks = JoinSet::new();
        for (address, port) in addresses {
            let address: IpAddr = address.parse().expect("an address");
            let listener = TcpListener::bind((address, *port)).await.expect("a free port");
            let note = note.clone();
            tasks.spawn(async move {
                loop {
                    let Ok((mut stream, _)) = listener.accept().await else { return };
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") && matches!(stream.read_buf(&mut head).await, Ok(1..)) {}
                    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\noutside";
                    // Callers that hang up are no matter here.
                    let _ = stream.write_all(answer.as_bytes()).await;
                    let _ = note.send(String::from_utf8_lossy(&head).to_lowercase()).await;
                }
            });
        }
        Self { heads, _tasks: tasks }
    }

    /// The head of the next request that came, in lower case.
    pub async fn head(&mut self) -> String {
        tokio::time::timeout(crate::PATIENCE, self.heads.recv()).await.expect("a request in time").expect("it runs")
    }
}
