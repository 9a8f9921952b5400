//! Spans on disk: what the queue has no room for waits in files until the receiver is back.
//!
//! ```text
//! DIR/000000000000002a.spans     append-only, at most 1 MiB (a sixteenth of the bound, if that is less)
//! ├ "RWSPILL1"
//! ├ record  head: the resource and scope of the process that wrote the file
//! ├ record  encoded spans
//! └ record  …                    13 bytes (length, CRC-32, kind, number of spans) and as many as the length says
//! ```
//!
//! A file is read back from its front once it is closed, and removed when all of it was sent. After kill -9 a file may
//! end in half a record: it is read up to there. Spans that were sent, but whose file was not removed yet, are sent
//! again; receivers know them by their ids. Nothing is flushed to the medium: this survives the process, not the host.
//!
//! All of it runs on the exporter's thread; [`crate::pipeline`] says when.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::otlp::Head;
use crate::stats::SpillStats;

const MAGIC: &[u8; 8] = b"RWSPILL1";
/// Length of the payload, CRC-32 of what follows it, kind, number of spans.
const RECORD_HEAD: usize = 13;
const KIND_HEAD: u8 = 0;
const KIND_SPANS: u8 = 1;
/// Small enough to be sent in two or three requests, so that a restart repeats little; large enough that a full folder
/// of 256 MiB is 256 files.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Below this, a few requests of spans would already be all.
const BYTES_MIN: u64 = 1 << 20;

/// Why a folder cannot be used; each says what to look at.
#[derive(Debug, thiserror::Error)]
pub enum SpillError {
    /// It is not there, or not writable.
    #[error("{}: {source}; name a folder that this process may write to", folder.display())]
    Folder {
        /// Which.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process writes there.
    #[error("{}: another process uses it; give each sidecar a folder of its own", .0.display())]
    InUse(PathBuf),
    /// The bound is too low to be of use.
    #[error("{0} bytes is too little to hold anything: give at least 1MiB")]
    TooSmall(u64),
}

/// A folder for spans, held by this process alone; clones are the same.
#[derive(Clone, Debug)]
pub struct SpillFolder {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    disk: Mutex<Disk>,
    /// Beside the files, so that who looks never waits for the disk.
    shown: Mutex<SpillStats>,
}

#[derive(Debug)]
struct Disk {
    folder: PathBuf,
    /// The folder itself, locked as long as this lives.
    _lock: File,
    bytes_max: u64,
    /// Oldest first.
    files: VecDeque<Stored>,
    /// The newest file, while it is appended to.
    open: Option<File>,
    next_number: u64,
    /// The file that is being sent.
    in_flight: Option<u64>,
    stats: SpillStats,
}

#[derive(Debug)]
struct Stored {
    number: u64,
    bytes: u64,
    /// Spans in it that were not sent yet.
    spans: u64,
    /// How far it was sent.
    sent_to: usize,
}

/// Spans out of a file, to be sent.
#[derive(Debug)]
pub(crate) struct Spilled {
    pub(crate) head: Head,
    pub(crate) records: Vec<Vec<u8>>,
    pub(crate) spans: u64,
    number: u64,
    end: usize,
    /// Nothing readable is left behind it.
    last: bool,
}

impl Spilled {
    pub(crate) fn bytes(&self) -> usize {
        self.records.iter().map(Vec::len).sum()
    }
}

/// What an operation on the files has cost.
#[derive(Debug, Default)]
pub(crate) struct Lost {
    pub(crate) spans: u64,
}

impl SpillFolder {
    /// Takes a folder, and what an earlier process left in it. Files of others in there are left alone.
    pub fn open(folder: &Path, bytes_max: u64) -> Result<Self, SpillError> {
        if bytes_max < BYTES_MIN {
            return Err(SpillError::TooSmall(bytes_max));
        }
        let unusable = |source| SpillError::Folder { folder: folder.to_owned(), source };
        fs::create_dir_all(folder).map_err(unusable)?;
        // The folder itself is locked, not a file in it: that works on a full disk too.
        let lock = File::open(folder).map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(SpillError::InUse(folder.to_owned())),
            Err(TryLockError::Error(source)) => return Err(unusable(source)),
        }
        writable(folder).map_err(unusable)?;
        let mut disk = Disk {
            folder: folder.to_owned(),
            _lock: lock,
            bytes_max,
            files: VecDeque::new(),
            open: None,
            next_number: 0,
            in_flight: None,
            stats: SpillStats { bytes_max, ..SpillStats::default() },
        };
        disk.recover().map_err(unusable)?;
        let shown = Mutex::new(disk.stats);
        Ok(Self { inner: Arc::new(Inner { disk: Mutex::new(disk), shown }) })
    }

    /// What is in it, and what became of what was.
    pub fn stats(&self) -> SpillStats {
        *self.inner.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether something waits here.
    pub(crate) fn waits(&self) -> bool {
        self.stats().spans > 0
    }

    /// Writes encoded spans to the end, at the cost of the oldest ones where the bound asks for it.
    pub(crate) fn append(&self, head: &Head, encoded: &[u8], spans: u64) -> (io::Result<()>, Lost) {
        self.with(|disk| disk.append(head, encoded, spans))
    }

    /// The oldest spans, at most so many bytes but at least one record; they stay until [`SpillFolder::sent`].
    pub(crate) fn take(&self, bytes_max: usize) -> (Option<Spilled>, Lost) {
        self.with(|disk| disk.take(bytes_max))
    }

    /// The receiver has them, or will never take them.
    pub(crate) fn sent(&self, spilled: &Spilled) -> Lost {
        self.with(|disk| disk.sent(spilled))
    }

    /// They are to be sent again.
    pub(crate) fn give_back(&self) {
        self.with(|disk| disk.in_flight = None);
    }

    fn with<T>(&self, work: impl FnOnce(&mut Disk) -> T) -> T {
        let mut disk: MutexGuard<'_, Disk> = self.inner.disk.lock().unwrap_or_else(PoisonError::into_inner);
        let done = work(&mut disk);
        disk.stats.files = disk.files.len() as u64;
        disk.stats.bytes = disk.files.iter().map(|file| file.bytes).sum();
        disk.stats.spans = disk.files.iter().map(|file| file.spans).sum();
        *self.inner.shown.lock().unwrap_or_else(PoisonError::into_inner) = disk.stats;
        done
    }
}

impl Disk {
    /// Counts what an earlier process left.
    fn recover(&mut self) -> io::Result<()> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(".spans"));
            found.extend(number.filter(|it| it.len() == 16).and_then(|it| u64::from_str_radix(it, 16).ok()));
        }
        found.sort_unstable();
        self.next_number = found.last().map_or(0, |last| last.wrapping_add(1));
        for number in found {
            let text = fs::read(self.path(number))?;
            let (mut spans, mut end) = (0, 0);
            for record in Records::new(&text).into_iter().flatten().filter(Record::is_whole) {
                spans += record.spans;
                end = record.end;
            }
            // Half a record is the usual end of a killed process's last file; it is counted all the same.
            self.stats.damaged += u64::from(end < text.len());
            if spans == 0 {
                tracing::warn!(file = %self.path(number).display(), "no spans can be read from this file: removed");
                self.remove(number);
                continue;
            }
            self.files.push_back(Stored { number, bytes: text.len() as u64, spans, sent_to: 0 });
            self.stats.recovered += spans;
        }
        self.stats.files = self.files.len() as u64;
        self.stats.bytes = self.files.iter().map(|file| file.bytes).sum();
        self.stats.spans = self.stats.recovered;
        Ok(())
    }

    fn append(&mut self, head: &Head, encoded: &[u8], spans: u64) -> (io::Result<()>, Lost) {
        let size = (RECORD_HEAD + encoded.len()) as u64;
        let mut lost = Lost::default();
        // A sixteenth, so that dropping the oldest file drops little of all.
        let file_max = FILE_BYTES_MAX.min(self.bytes_max / 16);
        let full = self.files.back().is_some_and(|newest| newest.spans > 0 && newest.bytes + size > file_max);
        if full {
            self.open = None;
        }
        while self.files.iter().map(|file| file.bytes).sum::<u64>() + size + 4096 > self.bytes_max {
            // What is being sent has been read already: dropping it would lose nothing and free little.
            let keep = self.in_flight;
            let Some(at) = self.files.iter().position(|file| Some(file.number) != keep) else {
                return (Err(io::Error::other("the bound leaves no room")), lost);
            };
            if at + 1 == self.files.len() {
                self.open = None;
            }
            if let Some(file) = self.files.remove(at) {
                lost.spans += file.spans;
                self.stats.overflowed += file.spans;
                self.remove(file.number);
            }
        }
        let written = self.write(head, encoded, spans);
        match &written {
            Ok(()) => self.stats.spilled += spans,
            Err(_) => self.stats.write_errors += 1,
        }
        (written, lost)
    }

    fn write(&mut self, head: &Head, encoded: &[u8], spans: u64) -> io::Result<()> {
        if self.open.is_none() {
            let number = self.next_number;
            let path = self.path(number);
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            let mut start = MAGIC.to_vec();
            record(&mut start, KIND_HEAD, 0, &head.to_bytes());
            if let Err(error) = file.write_all(&start) {
                // Best effort: the error that matters is the first one.
                let _ = fs::remove_file(&path);
                return Err(error);
            }
            self.next_number += 1;
            self.open = Some(file);
            self.files.push_back(Stored { number, bytes: start.len() as u64, spans: 0, sent_to: 0 });
        }
        let mut bytes = Vec::with_capacity(RECORD_HEAD + encoded.len());
        record(&mut bytes, KIND_SPANS, spans, encoded);
        let (Some(file), Some(stored)) = (&mut self.open, self.files.back_mut()) else {
            return Err(io::Error::other("no file is open"));
        };
        if let Err(error) = file.write_all(&bytes) {
            // Half a record, as on a full disk, would hide what comes after it.
            let mended = file.set_len(stored.bytes);
            self.open = None;
            if stored.spans == 0 {
                let number = stored.number;
                self.files.pop_back();
                self.remove(number);
            } else if let Err(error) = mended {
                tracing::debug!(%error, "a file of spans ends in half a record");
            }
            return Err(error);
        }
        stored.bytes += bytes.len() as u64;
        stored.spans += spans;
        Ok(())
    }

    fn take(&mut self, bytes_max: usize) -> (Option<Spilled>, Lost) {
        let mut lost = Lost::default();
        while let Some(front) = self.files.front() {
            if self.files.len() == 1 {
                // The one that is appended to: what comes next begins another.
                self.open = None;
            }
            let number = front.number;
            match self.read(number, front.sent_to, bytes_max) {
                Some(spilled) => {
                    self.in_flight = Some(number);
                    return (Some(spilled), lost);
                }
                None => {
                    tracing::warn!(file = %self.path(number).display(), "spans on disk cannot be read: dropped");
                    self.stats.damaged += 1;
                    self.finish(number, &mut lost);
                }
            }
        }
        (None, lost)
    }

    fn read(&self, number: u64, from: usize, bytes_max: usize) -> Option<Spilled> {
        let text = fs::read(self.path(number)).ok()?;
        let records = Records::new(&text)?;
        let head = Head::from_bytes(records.head)?;
        let mut taken = Spilled { head, records: Vec::new(), spans: 0, number, end: from, last: true };
        let mut bytes = 0;
        for record in records {
            if record.end <= from {
                continue;
            }
            if !taken.records.is_empty() && bytes + record.payload.len() > bytes_max {
                taken.last = false;
                break;
            }
            taken.end = record.end;
            if record.is_whole() {
                bytes += record.payload.len();
                taken.spans += record.spans;
                taken.records.push(record.payload.to_vec());
            }
        }
        (!taken.records.is_empty()).then_some(taken)
    }

    fn sent(&mut self, spilled: &Spilled) -> Lost {
        self.in_flight = None;
        let mut lost = Lost::default();
        if let Some(file) = self.files.iter_mut().find(|file| file.number == spilled.number) {
            file.sent_to = spilled.end;
            file.spans = file.spans.saturating_sub(spilled.spans);
            self.stats.sent += spilled.spans;
            if spilled.last {
                self.finish(spilled.number, &mut lost);
            }
        }
        lost
    }

    /// Removes a file; what was in it and is not sent was damaged.
    fn finish(&mut self, number: u64, lost: &mut Lost) {
        if let Some(at) = self.files.iter().position(|file| file.number == number)
            && let Some(file) = self.files.remove(at)
        {
            lost.spans += file.spans;
            self.stats.unreadable += file.spans;
        }
        self.remove(number);
    }

    fn remove(&self, number: u64) {
        if let Err(error) = fs::remove_file(self.path(number)) {
            tracing::warn!(file = %self.path(number).display(), %error, "a file of spans cannot be removed");
        }
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:016x}.spans"))
    }
}

/// Whether files can be made there. A full disk is no reason not to start: there will be room again.
fn writable(folder: &Path) -> io::Result<()> {
    let probe = folder.join(format!(".{}.probe", std::process::id()));
    match OpenOptions::new().write(true).create(true).truncate(true).open(&probe) {
        Ok(_) => fs::remove_file(&probe),
        Err(error) if error.kind() == io::ErrorKind::StorageFull => Ok(()),
        Err(error) => Err(error),
    }
}

fn record(out: &mut Vec<u8>, kind: u8, spans: u64, payload: &[u8]) {
    let spans = u32::try_from(spans).unwrap_or(u32::MAX);
    // A segment is bounded by the size of a request, far below 4 GiB.
    out.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(&checksum(kind, spans, payload).to_le_bytes());
    out.push(kind);
    out.extend_from_slice(&spans.to_le_bytes());
    out.extend_from_slice(payload);
}

fn checksum(kind: u8, spans: u32, payload: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(&[kind]);
    crc.update(&spans.to_le_bytes());
    crc.update(payload);
    crc.sum()
}

/// The records of a file, from the front; ends where what is left is no record.
struct Records<'a> {
    rest: &'a [u8],
    at: usize,
    head: &'a [u8],
}

struct Record<'a> {
    crc: u32,
    kind: u8,
    spans: u64,
    payload: &'a [u8],
    /// Where it ends in the file.
    end: usize,
}

impl Record<'_> {
    fn is_whole(&self) -> bool {
        self.kind == KIND_SPANS && self.sums_up()
    }

    fn sums_up(&self) -> bool {
        u32::try_from(self.spans).is_ok_and(|spans| checksum(self.kind, spans, self.payload) == self.crc)
    }
}

impl<'a> Records<'a> {
    /// `None` where the file does not begin as one of ours does.
    fn new(text: &'a [u8]) -> Option<Self> {
        let rest = text.strip_prefix(MAGIC)?;
        let mut records = Self { rest, at: MAGIC.len(), head: &[] };
        let head = records.next()?;
        records.head = (head.kind == KIND_HEAD && head.sums_up()).then_some(head.payload)?;
        Some(records)
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        let (length, rest) = self.rest.split_first_chunk::<4>()?;
        let (crc, rest) = rest.split_first_chunk::<4>()?;
        let (&kind, rest) = rest.split_first()?;
        let (spans, rest) = rest.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length) as usize;
        let (payload, rest) = rest.split_at_checked(length)?;
        self.rest = rest;
        self.at += RECORD_HEAD + length;
        let (crc, spans) = (u32::from_le_bytes(*crc), u32::from_le_bytes(*spans).into());
        Some(Record { crc, kind, spans, payload, end: self.at })
    }
}

#[cfg(test)]
mod tests;
