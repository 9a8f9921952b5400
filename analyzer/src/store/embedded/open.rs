//! Opening the store: is it a place where we may write, is it ours, and can we read what is there?

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fjall::{Database, KeyspaceCreateOptions, PersistMode};
use prometheus::Registry;

use super::disk::allocated_bytes;
use super::edges::Edges;
use super::metrics::Metrics;
use super::names::Names;
use super::partition::{Content, Partition, number_of};
use super::queue::Queue;
use super::writer::Writer;
use super::{Embedded, Shared};

/// The format that this program reads and writes. A change to anything in `keys`, `codec`, `row`, `origins`,
/// `words` (but for new words) or `edges` that old data does not survive is a new number, with a way to convert.
const FORMAT: &str = "raceway-analyzer data, format 1\n";

/// Holds [`FORMAT`]. A file and not an entry in the database, so that it can be read whatever the database has become.
const FORMAT_FILE: &str = "format";

/// The database's own folder, so that a volume's `lost+found` beside it does no harm.
const DATABASE: &str = "spans";

/// Blocks of tables kept in memory: a few thousand traces that people look at.
const CACHE_BYTES: u64 = 64 * 1024 * 1024;

/// The journal is read at the start, at about 100 MiB a second, and bounds what lies in all memtables together.
const JOURNAL_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// The least that fjall accepts.
const JOURNAL_BYTES_MIN: u64 = 64 * 1024 * 1024;

/// What is kept, and how long.
#[derive(Clone)]
pub struct Options {
    /// Traces are kept this long after they began to arrive, and up to a twenty-fourth longer.
    pub age_max: Duration,
    /// When about so much is on disk, the oldest traces go.
    pub bytes_max: u64,
    /// Spans beyond this are refused. A page that shows a trace holds it in memory: this is about 50 MiB.
    pub spans_per_trace_max: u64,
    /// Bytes of spans that may wait to be written; beyond it, senders are told to come again.
    pub queue_bytes_max: usize,
    /// Nothing is written when less than this is free on the disk, so that the database can still tidy up.
    pub disk_reserve_bytes: u64,
    /// Milliseconds since the epoch.
    pub clock: Arc<dyn Fn() -> u64 + Send + Sync>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            age_max: Duration::from_secs(7 * 24 * 3600),
            bytes_max: 10 * 1024 * 1024 * 1024,
            spans_per_trace_max: 50_000,
            // About a second of what the writer can do on a slow disk.
            queue_bytes_max: 64 * 1024 * 1024,
            // Memtables being written out and a compaction's output beside its input.
            disk_reserve_bytes: 128 * 1024 * 1024,
            clock: Arc::new(now_ms),
        }
    }
}

impl Options {
    /// A new partition is opened after this time: a twenty-fourth of the age, so that little outlives it; but not
    /// so often that hundreds of keyspaces pile up.
    pub(super) fn partition_age(&self) -> Duration {
        (self.age_max / 24).max(Duration::from_secs(60))
    }

    /// … or when so much is in the present one: a sixteenth of what may be kept, so that little goes at once.
    pub(super) fn partition_bytes(&self) -> u64 {
        self.kept_bytes_max() / 16
    }

    /// What the partitions may hold together: the rest is for the journal.
    pub(super) fn kept_bytes_max(&self) -> u64 {
        self.bytes_max.saturating_sub(self.journal_bytes_max()).max(self.bytes_max / 2)
    }

    fn journal_bytes_max(&self) -> u64 {
        (self.bytes_max / 4).clamp(JOURNAL_BYTES_MIN, JOURNAL_BYTES_MAX)
    }
}

/// Why the store could not be opened; each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Something else has that name.
    #[error("--data-dir {} is not a folder; name another, or remove what is there", .0.display())]
    NotADirectory(PathBuf),
    /// It is not there and cannot be made, or cannot be used for another reason than rights.
    #[error("--data-dir {} cannot be written: {}; no folder can be made there, name another", .0.display(), .1)]
    NotThere(PathBuf, io::Error),
    /// The operating system does not let us.
    #[error("--data-dir {} cannot be written: {}; give this user the right to, or name another folder", .0.display(), .1)]
    NotWritable(PathBuf, io::Error),
    /// Another analyzer is at work there.
    #[error("--data-dir {} is in use by another process; stop it, or name another folder", .0.display())]
    Locked(PathBuf),
    /// What is there is not ours, or from another version.
    #[error("--data-dir {} holds {found}, this program reads format 1; use the version that wrote it, or name another folder", .dir.display())]
    Format {
        /// Where.
        dir: PathBuf,
        /// What it says it is.
        found: String,
    },
    /// Somebody else's files are there, and no data of ours.
    #[error("--data-dir {} holds other files ({found}); all that is in it would count as ours: name an empty folder, or a new one", .dir.display())]
    Foreign {
        /// Where.
        dir: PathBuf,
        /// Some of them.
        found: String,
    },
    /// The database cannot be read.
    #[error("--data-dir {} cannot be opened: {error}; if the disk is fine, restore a copy or name another folder", .dir.display())]
    Database {
        /// Where.
        dir: PathBuf,
        /// What the database says.
        error: String,
    },
}

impl Embedded {
    /// Opens the store in a folder, which is made if it is not there, and starts its writer.
    pub fn open(dir: &Path, options: Options, registry: &Registry) -> Result<Self, OpenError> {
        claim(dir)?;
        let failed = |error: fjall::Error| match error {
            fjall::Error::Locked => OpenError::Locked(dir.to_owned()),
            fjall::Error::Io(error) if refused(&error) => OpenError::NotWritable(dir.to_owned(), error),
            fjall::Error::InvalidVersion(version) => {
                OpenError::Format { dir: dir.to_owned(), found: format!("a database of version {version:?}") }
            }
            error => OpenError::Database { dir: dir.to_owned(), error: error.to_string() },
        };
        let db = Database::builder(dir.join(DATABASE))
            .cache_size(CACHE_BYTES)
            .max_journaling_size(options.journal_bytes_max())
            .open()
            .map_err(failed)?;
        let small = || KeyspaceCreateOptions::default().max_memtable_size(16 * 1024 * 1024);
        let index = db.keyspace("index", small).map_err(failed)?;
        let partition_list = db.keyspace("partitions", small).map_err(failed)?;
        let edges = Edges::load(db.keyspace("edges", small).map_err(failed)?).map_err(failed)?;

        let mut partitions = BTreeMap::new();
        let mut dropping = Vec::new();
        for entry in partition_list.iter() {
            let (key, value) = entry.into_inner().map_err(failed)?;
            let damaged =
                || OpenError::Database { dir: dir.to_owned(), error: "the list of partitions is damaged".into() };
            let number = u32::from_be_bytes(key.as_ref().try_into().map_err(|_| damaged())?);
            let content = Content::from_bytes(&value).map_err(|_| damaged())?;
            let partition = Arc::new(Partition::open(&db, number, content).map_err(failed)?);
            if content.dropping {
                dropping.push(partition);
            } else {
                partitions.insert(number, partition);
            }
        }
        remove_strays(&db, partitions.keys().copied().chain(dropping.iter().map(|p| p.number)).collect())
            .map_err(failed)?;

        let metrics = Metrics::new(registry)
            .map_err(|error| OpenError::Database { dir: dir.to_owned(), error: error.to_string() })?;
        let disk_bytes = AtomicU64::new(allocated_bytes(dir));
        let shared = Arc::new(Shared {
            dir: dir.to_owned(),
            queue: Queue::new(options.queue_bytes_max),
            options,
            index,
            partition_list,
            edges,
            names: Names::default(),
            partitions: RwLock::new(partitions),
            metrics,
            disk_bytes,
            db,
        });
        let writer = Writer::new(shared.clone(), dropping).map_err(failed)?;
        let writer = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || writer.run())
            .map_err(|error| failed(error.into()))?;
        Ok(Self { shared, writer: Some(writer) })
    }
}

/// Makes sure that the folder is there, may be written to, and is ours.
fn claim(dir: &Path) -> Result<(), OpenError> {
    let not_writable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => OpenError::NotADirectory(dir.to_owned()),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            OpenError::NotWritable(dir.to_owned(), error)
        }
        _ => OpenError::NotThere(dir.to_owned(), error),
    };
    fs::create_dir_all(dir).map_err(not_writable)?;
    if !fs::metadata(dir).map_err(not_writable)?.is_dir() {
        return Err(OpenError::NotADirectory(dir.to_owned()));
    }
    match fs::read(dir.join(FORMAT_FILE)) {
        Ok(found) if found == FORMAT.as_bytes() => {
            // Reading alone proves nothing: a volume may be mounted read-only.
            let probe = dir.join(".write-test");
            File::create(&probe).and_then(|_| fs::remove_file(&probe)).map_err(not_writable)
        }
        Ok(found) => {
            let found: String = String::from_utf8_lossy(&found).trim().chars().take(80).collect();
            Err(OpenError::Format { dir: dir.to_owned(), found: format!("{found:?}") })
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(not_writable(error)),
        Err(_) if dir.join(DATABASE).exists() => {
            let found = format!("a folder {DATABASE:?} but no file {FORMAT_FILE:?}");
            Err(OpenError::Format { dir: dir.to_owned(), found })
        }
        Err(_) => match foreign(dir).map_err(not_writable)? {
            Some(found) => Err(OpenError::Foreign { dir: dir.to_owned(), found }),
            None => write_format(dir).map_err(not_writable),
        },
    }
}

/// The first names of what somebody else keeps in a folder. Hidden files and a file system's own are nobody's.
fn foreign(dir: &Path) -> io::Result<Option<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') && name != "lost+found" {
            names.push(name);
        }
    }
    names.sort();
    let more = if names.len() > 3 { format!(" and {} more", names.len() - 3) } else { String::new() };
    names.truncate(3);
    Ok((!names.is_empty()).then(|| format!("{}{more}", names.join(", "))))
}

/// Written whole or not at all, and on the disk before the database is.
fn write_format(dir: &Path) -> io::Result<()> {
    let unfinished = dir.join(".format-unfinished");
    let mut file = File::create(&unfinished)?;
    file.write_all(FORMAT.as_bytes())?;
    file.sync_all()?;
    fs::rename(unfinished, dir.join(FORMAT_FILE))?;
    File::open(dir)?.sync_all()
}

/// Deletes keyspaces of partitions that are not in the list: the process ended while it made or deleted them.
fn remove_strays(db: &Database, listed: BTreeSet<u32>) -> fjall::Result<()> {
    let mut strays = false;
    for name in db.list_keyspace_names() {
        if number_of(&name).is_some_and(|number| !listed.contains(&number)) {
            db.delete_keyspace(db.keyspace(&name, KeyspaceCreateOptions::default)?)?;
            strays = true;
        }
    }
    if strays { db.persist(PersistMode::SyncAll) } else { Ok(()) }
}

fn refused(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
