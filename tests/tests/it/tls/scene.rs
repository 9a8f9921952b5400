//! What these tests share: an authority, files, programs, questions to a sidecar.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use raceway_tests::{PATIENCE, Stack, http, skip};
use raceway_tls::testing::{Authority, Issued};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

/// Pause between two looks at something that is to change.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// An authority that everybody here trusts, one that nobody trusts, and a folder for files.
pub(crate) struct Scene {
    pub(crate) folder: TempDir,
    pub(crate) ours: Authority,
    pub(crate) others: Authority,
}

impl Scene {
    /// `None`, said loudly, where one of these programs is missing.
    pub(crate) fn with(programs: &[&str]) -> Option<Self> {
        for program in programs {
            if find(program).is_none() {
                skip(&format!("{program} is not installed"));
                return None;
            }
        }
        let folder = tempfile::Builder::new().prefix("raceway-tls-").tempdir().expect("a temporary folder");
        let scene = Self { folder, ours: Authority::new("ours"), others: Authority::new("others") };
        scene.ours.write(scene.folder.path(), "ca");
        Some(scene)
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// The bundle that holds the trusted authority.
    pub(crate) fn ca(&self) -> String {
        self.path("ca.pem")
    }

    /// Writes a certificate and its key as NAME.crt and NAME.key.
    pub(crate) fn write(&self, issued: &Issued, name: &str) {
        issued.write(self.folder.path(), name);
    }

    /// Flags by which a sidecar ends TLS with NAME.crt.
    pub(crate) fn ends_tls(&self, name: &str) -> [String; 2] {
        let (certificate, key) = (self.path(&format!("{name}.crt")), self.path(&format!("{name}.key")));
        [format!("--inbound-tls-cert={certificate}"), format!("--inbound-tls-key={key}")]
    }
}

/// Debian keeps servers where only root's PATH looks.
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/usr/local/sbin";
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// What curl got.
#[derive(Debug)]
pub(crate) struct Got {
    /// curl's own exit code.
    pub(crate) code: Option<i32>,
    /// Status and version of HTTP, as in `200 1.1`.
    pub(crate) status: String,
    /// Head and body.
    pub(crate) text: String,
}

/// Runs curl with these arguments.
pub(crate) async fn curl(args: &[&str]) -> Got {
    let mut command = tokio::process::Command::new("curl");
    command.args(["--silent", "--show-error", "--include", "--max-time", "30"]);
    command.args(["--write-out", "\n%{http_code} %{http_version}"]).args(args).kill_on_drop(true);
    let output = command.output().await.expect("curl runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let status = String::from_utf8_lossy(&output.stdout).lines().last().unwrap_or_default().to_owned();
    Got { code: output.status.code(), status, text }
}

/// `https://NAME:PORT/` of a door, and the argument that leads there whatever the name.
pub(crate) fn https(name: &str, door: SocketAddr) -> [String; 3] {
    ["--connect-to".to_owned(), format!("::{door}"), format!("https://{name}:{}/", door.port())]
}

/// Calls curl with the arguments of [`https`] behind others.
pub(crate) async fn curl_https(args: &[&str], name: &str, door: SocketAddr) -> Got {
    let there = https(name, door);
    let args: Vec<&str> = args.iter().copied().chain(there.iter().map(String::as_str)).collect();
    curl(&args).await
}

/// The value of a metric of the entry's sidecar; 0 where there is no such sample yet.
pub(crate) async fn metric(stack: &Stack, service: &str, sample: &str) -> f64 {
    let answer = http::get(stack.sidecar(service).admin(), "/metrics", &[]).await;
    let text = answer.text();
    let line = text.lines().find_map(|line| line.strip_prefix("raceway_proxy_")?.strip_prefix(sample));
    line.map_or(0.0, |value| value.trim().parse().expect("a number"))
}

/// Waits until a metric has this value.
pub(crate) async fn metric_becomes(stack: &Stack, service: &str, sample: &str, value: f64) {
    let until = Instant::now() + PATIENCE;
    loop {
        let found = metric(stack, service, sample).await;
        if (found - value).abs() < f64::EPSILON {
            return;
        }
        assert!(Instant::now() < until, "{sample} is {found} and not {value}");
        sleep(LOOK_EVERY).await;
    }
}

/// Waits until a sidecar has logged this.
pub(crate) async fn log_says(stack: &Stack, service: &str, text: &str) {
    let until = Instant::now() + PATIENCE;
    loop {
        let log = stack.sidecar(service).log();
        if log.contains(text) {
            return;
        }
        assert!(Instant::now() < until, "{text:?} is not in {log}");
        sleep(LOOK_EVERY).await;
    }
}

/// nginx with a few servers; ends with the test, also with a test that is killed.
pub(crate) struct Nginx {
    shell: Child,
}

impl Nginx {
    /// Each server listens on a port of 127.0.0.1 with these directives.
    pub(crate) async fn start(folder: &Path, servers: &[(SocketAddr, String)]) -> Self {
        let root = folder.display();
        let servers: String = servers.iter().map(|(_, directives)| format!("server {{ {directives} }}\n")).collect();
        let config = format!(
            "daemon off;\nmaster_process off;\npid {root}/nginx.pid;\nevents {{ }}\nhttp {{\naccess_log off;\n\
             client_body_temp_path {root}/a;\nproxy_temp_path {root}/b;\nfastcgi_temp_path {root}/c;\n\
             uwsgi_temp_path {root}/d;\nscgi_temp_path {root}/e;\n{servers}}}\n"
        );
        let path = folder.join("nginx.conf");
        std::fs::write(&path, config).expect("the folder can be written");
        let log = std::fs::File::create(folder.join("nginx.log")).expect("the folder can be written");
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", "\"$@\" & read -r line; kill $!; wait", "sh"]);
        shell.arg(find("nginx").expect("it was looked for")).arg("-p").arg(folder).arg("-c").arg(&path);
        shell.arg("-e").arg(folder.join("nginx.errors")).stdin(Stdio::piped());
        shell.stdout(log.try_clone().expect("a copy")).stderr(log);
        Self { shell: shell.spawn().expect("a shell") }
    }

    /// Waits until it listens there.
    pub(crate) async fn listens(&self, folder: &Path, address: SocketAddr) {
        let until = Instant::now() + PATIENCE;
        while tokio::net::TcpStream::connect(address).await.is_err() {
            let said = || std::fs::read_to_string(folder.join("nginx.errors")).unwrap_or_default();
            assert!(Instant::now() < until, "nginx does not listen on {address}: {}", said());
            sleep(LOOK_EVERY).await;
        }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        // Whatever became of it, it is over then.
        let _ = self.shell.wait();
    }
}

/// A port of 127.0.0.1 that was free a moment ago, for programs that cannot be asked which one they took.
pub(crate) fn free_port() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("a bound listener has an address")
}
