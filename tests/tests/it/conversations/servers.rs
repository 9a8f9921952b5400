//! More real servers: nginx, Node, Python's own, and PostgreSQL, whose clients ask for TLS before anything else.

use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use super::peers::{curl, folder, free_port, installed, said, same, serve, start};

/// Writes its address to `--ready-file`, and answers in chunks with trailers, after an early hint.
const NODE: &str = r#"
const http = require("node:http"), fs = require("node:fs");
const server = http.createServer((request, response) => {
  response.writeEarlyHints({ link: "</a.css>; rel=preload" });
  let bytes = 0;
  request.on("data", (data) => (bytes += data.length));
  request.on("end", () => {
    response.writeHead(200, { Trailer: "X-Sum", "X-Case": request.headers["x-case"] ?? "none" });
    response.write(`${request.method} ${request.url} ${request.httpVersion} `);
    response.addTrailers({ "X-Sum": String(bytes) });
    response.end(String(bytes));
  });
});
server.listen(0, "127.0.0.1", () => {
  const path = process.argv[process.argv.indexOf("--ready-file") + 1];
  fs.writeFileSync(path + ".tmp", JSON.stringify({ listen: `127.0.0.1:${server.address().port}` }));
  fs.renameSync(path + ".tmp", path);
});
process.stdin.resume().on("end", () => process.exit(0));
"#;

#[tokio::test]
async fn curl_with_node() {
    if !installed("node") || !installed("curl") {
        return;
    }
    let folder = folder();
    let script = folder.path().join("server.cjs");
    std::fs::write(&script, NODE).expect("there is room");
    let (server, address) = serve(Path::new("node"), &[script.to_str().expect("text")], folder.path()).await;
    let table: [(&[&str], &str); 4] = [
        (&[], "/x?y"),
        (&["-H", "X-Case: Kept"], "/"),
        (&["-d", "abc"], "/post"),
        (&["-d", "abc", "-H", "Transfer-Encoding: chunked", "-H", "Expect: 100-continue"], "/chunked"),
    ];
    for (args, path) in table {
        let heard = same(address, async |to| curl(to, args, path).await).await;
        assert!(heard.contains("103 Early Hints") && heard.contains("200 OK"), "{args:?}: {heard}");
    }
    server.kill().await;
}

#[tokio::test]
async fn curl_with_nginx_and_python() {
    if !installed("curl") || !installed("python3") {
        return;
    }
    let folder = folder();
    let large: Vec<u8> = (0..2_000_000_u32).map(|n| b'a' + (n % 26) as u8).collect();
    std::fs::write(folder.path().join("large"), &large).expect("there is room");
    let mut servers = Vec::new();
    let python = free_port();
    let mut command = Command::new("python3");
    command.args(["-m", "http.server", "--bind", "127.0.0.1", "--directory"]).arg(folder.path());
    command.arg(python.port().to_string());
    servers.push((start(command, python).await, python));
    if installed("nginx") {
        let nginx = free_port();
        let config = format!(
            "daemon off; master_process off; pid {root}/pid; error_log /dev/null; events {{}}\n\
             http {{ access_log off; if_modified_since before; client_body_temp_path {root}; proxy_temp_path {root}; fastcgi_temp_path {root};\n\
             uwsgi_temp_path {root}; scgi_temp_path {root}; server {{ listen {nginx}; root {root}; }} }}",
            root = folder.path().display()
        );
        let path = folder.path().join("nginx.conf");
        std::fs::write(&path, config).expect("there is room");
        // Where the package puts it is not on everybody's path.
        let mut command = Command::new("nginx");
        command.arg("-c").arg(&path);
        servers.push((start(command, nginx).await, nginx));
    }
    let table: [(&[&str], &str, &str); 6] = [
        (&[], "/large", " 200 OK"),
        (&["--head"], "/large", " 200 OK"),
        (&["-0"], "/large", " 200 OK"),
        (&[], "/none", " 404 "),
        (&["-X", "BREW"], "/large", " 501 "),
        (&["-H", "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT"], "/large", " 304 "),
    ];
    for (server, address) in &mut servers {
        for (args, path, status) in table {
            let heard = same(*address, async |to| curl(to, args, path).await).await;
            // nginx has its own word for methods that it does not know.
            assert!(heard.contains(status) || heard.contains(" 405 "), "{args:?}: {heard:.200}");
        }
        server.kill().await.expect("it ends");
    }
}

#[tokio::test]
async fn postgresql_through_a_tunnel() {
    // Debian puts the server where no path leads.
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let Some(bin) = versions.map(|version| version.path().join("bin")).find(|bin| bin.join("postgres").exists()) else {
        raceway_tests::skip("PostgreSQL's server is not installed");
        return;
    };
    if !installed("psql") || !installed("setpriv") {
        return;
    }
    let (folder, address) = (folder(), free_port());
    let root = folder.path().display().to_string();
    // It refuses to run as root.
    let as_postgres = ["--reuid=postgres", "--regid=postgres", "--clear-groups"];
    let owned = said(Path::new("chown"), &["postgres".to_owned(), root.clone()]).await;
    assert_eq!(owned, "");
    let data = format!("{root}/data");
    let made = Command::new("setpriv")
        .args(as_postgres)
        .arg(bin.join("initdb"))
        .args(["--auth=trust", "--no-sync", "-D", &data])
        .stdout(Stdio::null())
        .status()
        .await
        .expect("it starts");
    assert!(made.success(), "initdb: {made}");
    let mut command = Command::new("setpriv");
    command.args(as_postgres).arg(bin.join("postgres"));
    command.args(["-D", &data, "-h", "127.0.0.1", "-k", &root, "-F", "-p", &address.port().to_string()]);
    let mut server = start(command, address).await;
    let heard = same(address, async |to| {
        let url = format!("postgresql://postgres@{to}/postgres");
        let query = "SELECT 6*7, length(repeat('x', 1000000)), count(*) FROM generate_series(1, 100000)";
        said(Path::new("psql"), &[url, "-Atc".to_owned(), query.to_owned()]).await
    })
    .await;
    assert_eq!(heard, "42|1000000|100000\n");
    // SIGTERM waits for its clients, who are gone.
    let id = server.id().and_then(|id| i32::try_from(id).ok()).expect("it runs");
    said(Path::new("kill"), &[id.to_string()]).await;
    server.wait().await.expect("it ends");
}
