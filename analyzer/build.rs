//! Builds the web page (`ui`) with npm and embeds it; where that cannot be, embeds a page that says how to get it.
//!
//! `RACEWAY_UI_REQUIRED=1` makes the build fail instead: what is given to others should have its page.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// What the page is made of. Not its folder as a whole: node_modules and output in it change without meaning anything.
const SOURCES: [&str; 9] = [
    "openapi.json",
    "ui/.npmrc",
    "ui/index.html",
    "ui/package.json",
    "ui/package-lock.json",
    "ui/public",
    "ui/src",
    "ui/tsconfig.json",
    "ui/vite.config.ts",
];

/// What vite and the compiler below it run on; `engines` in ui/package.json says the same.
const NODE: &str = "Node.js 20.19 or a later 20, or 22.12 or newer";

/// What the build runs; an install without them was one for production.
const TOOLS: [&str; 2] = ["node_modules/vite/package.json", "node_modules/openapi-typescript/package.json"];

/// Lines of a failed command that are passed on.
const SAID_MAX: usize = 6;

/// Node has both compressions, so no crate is needed for them. Files that would not shrink stay alone.
const COMPRESS: &str = r#"
const fs = require("node:fs"), path = require("node:path"), zlib = require("node:zlib");
for (const name of fs.readdirSync(process.argv[1], { recursive: true })) {
  const file = path.join(process.argv[1], name);
  if (!/\.(html|js|css|svg|json|txt)$/.test(name)) continue;
  const bytes = fs.readFileSync(file);
  if (bytes.length < 1024) continue;
  fs.writeFileSync(file + ".br", zlib.brotliCompressSync(bytes));
  fs.writeFileSync(file + ".gz", zlib.gzipSync(bytes, { level: 9 }));
}"#;

fn main() -> ExitCode {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=RACEWAY_UI_REQUIRED");
    if std::env::var_os("CARGO_FEATURE_UI").is_none() {
        return ExitCode::SUCCESS;
    }
    let root = path("CARGO_MANIFEST_DIR");
    let out = path("OUT_DIR");
    for source in SOURCES {
        println!("cargo:rerun-if-changed={source}");
    }
    let built = build(&root, &out).and_then(|page| list(&page));
    if let Err(why) = &built {
        let required = std::env::var_os("RACEWAY_UI_REQUIRED").is_some_and(|value| value != "0");
        let then = if required { "RACEWAY_UI_REQUIRED asks for it" } else { "a page that says so is embedded instead" };
        println!("cargo:warning=the analyzer's web page is not built: {why}; {then}");
        // The next build tries again: this file is never there.
        println!("cargo:rerun-if-changed=ui/not-built");
        if required {
            return ExitCode::FAILURE;
        }
    }
    match fs::write(out.join("page.rs"), embedded_as_code(&built.unwrap_or_default())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("cargo:warning=cannot write to {}: {error}", out.display());
            ExitCode::FAILURE
        }
    }
}

/// Cargo sets these for every build script.
fn path(variable: &str) -> PathBuf {
    PathBuf::from(std::env::var_os(variable).unwrap_or_default())
}

/// Runs npm, one build at a time: all target directories share the sources and node_modules. The page gets its place in
/// `out` once it is whole.
fn build(root: &Path, out: &Path) -> Result<PathBuf, String> {
    let ui = root.join("ui");
    let lock_file = ui.join("package-lock.json");
    let lock = File::open(&lock_file).map_err(|_| format!("{} is not there", lock_file.display()))?;
    lock.lock().map_err(|error| format!("{} cannot be locked: {error}", lock_file.display()))?;
    check_node()?;
    if !installed(&ui) {
        // The tools are development dependencies, their binaries optional ones, whatever NODE_ENV says.
        let all = ["--include=dev", "--include=optional"];
        let quick = ["--no-audit", "--no-fund", "--prefer-offline", "--fetch-retries=1", "--fetch-timeout=30000"];
        npm(&ui, &[&["ci"], &all[..], &quick[..]].concat())?;
    }
    let (unfinished, page) = (out.join("page-unfinished"), out.join("page"));
    let made = unfinished.to_str().ok_or("the path of the target directory is not UTF-8")?;
    npm(&ui, &["run", "build", "--", "--outDir", made])?;
    run(Command::new("node").args(["-e", COMPRESS, made]), "node")?;
    if !unfinished.join("index.html").is_file() {
        return Err(format!("npm run build made no index.html in {made}"));
    }
    let moved = if page.exists() { fs::remove_dir_all(&page) } else { Ok(()) };
    moved
        .and_then(|()| fs::rename(&unfinished, &page))
        .map_err(|error| format!("{made} cannot become {}: {error}", page.display()))?;
    Ok(page)
}

/// Says that node is too old in one sentence; its tools would say it in a hundred lines.
fn check_node() -> Result<(), String> {
    let version = run(Command::new("node").arg("--version"), "node")?;
    let mut numbers = version.trim().trim_start_matches('v').split('.').map(|number| number.parse::<u32>().ok());
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(20), Some(19..)) | (Some(22), Some(12..)) | (Some(23..), _) => Ok(()),
        _ => Err(format!("node is {}, the page needs {NODE}", version.trim())),
    }
}

/// Whether npm has put in place what the lock file names; it writes a list of its own when it is done.
fn installed(ui: &Path) -> bool {
    let changed = |path: &str| fs::metadata(ui.join(path)).and_then(|metadata| metadata.modified()).ok();
    let done = changed("node_modules/.package-lock.json");
    done.is_some() && done >= changed("package-lock.json") && TOOLS.iter().all(|tool| ui.join(tool).exists())
}

fn npm(ui: &Path, arguments: &[&str]) -> Result<(), String> {
    let program = if cfg!(windows) { "npm.cmd" } else { "npm" };
    run(Command::new(program).current_dir(ui).args(arguments), "npm").map(drop)
}

/// Its output; on failure what it said of it, in one line as Cargo's warnings are.
fn run(command: &mut Command, name: &str) -> Result<String, String> {
    let output =
        command.env("NO_COLOR", "1").env_remove("FORCE_COLOR").output().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => format!("{name} is not installed ({NODE} brings it)"),
            _ => format!("{name} cannot be started: {error}"),
        })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = without_colours(&String::from_utf8_lossy(&output.stderr));
    // Neither npm's remarks on its settings nor a stack say what is wrong.
    let beside = |line: &&str| line.is_empty() || line.starts_with("npm warn") || line.starts_with("at ");
    let said: Vec<&str> = said.lines().map(str::trim).filter(|line| !beside(line)).collect();
    let from = said.iter().position(|line| line.to_lowercase().contains("error")).unwrap_or(0);
    let told: Vec<&str> = said.into_iter().skip(from).take(SAID_MAX).collect();
    Err(format!("{name} failed ({}): {}", output.status, told.join(" | ")))
}

/// Not everything that npm starts heeds NO_COLOR.
fn without_colours(text: &str) -> String {
    let mut parts = text.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |plain, part| plain + part.split_once('m').map_or("", |(_, rest)| rest))
}

/// The files of the page, relative to it, without their compressed forms.
fn list(page: &Path) -> Result<Vec<(String, PathBuf)>, String> {
    let mut files = Vec::new();
    let mut folders = vec![page.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        for entry in entries.filter_map(Result::ok) {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(page).ok().and_then(Path::to_str).map(|name| name.replace('\\', "/"));
            if let Some(name) = name.filter(|name| !name.ends_with(".br") && !name.ends_with(".gz")) {
                files.push((name, path));
            }
        }
    }
    files.sort();
    Ok(files)
}

/// A constant that holds every file.
fn embedded_as_code(files: &[(String, PathBuf)]) -> String {
    let mut code = String::from("const FILES: &[File] = &[\n");
    for (name, path) in files {
        let compressed = |ending: &str| {
            let path = PathBuf::from(format!("{}.{ending}", path.display()));
            if path.exists() { format!("Some(include_bytes!({path:?}))") } else { "None".to_owned() }
        };
        let hash = fs::read(path).map(|bytes| fnv(&bytes)).unwrap_or_default();
        let _ = writeln!(
            code,
            "    File {{ name: {name:?}, tag: \"\\\"{hash:016x}\\\"\", plain: include_bytes!({path:?}), br: {}, gz: {} }},",
            compressed("br"),
            compressed("gz")
        );
    }
    code.push_str("];\n");
    code
}

/// FNV-1a: enough to tell one version of a file from another.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
