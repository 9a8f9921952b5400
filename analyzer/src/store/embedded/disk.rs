//! How much of the disk the database takes: blocks, not lengths. The journal's file is made 64 MiB long at once, of
//! which a fresh database has written next to nothing; the file system keeps no blocks for the rest.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What `st_blocks` counts in, whatever the file system's own blocks are.
const BLOCK_BYTES: u64 = 512;

/// Bytes allocated to the files below a folder. Files that go away meanwhile, as tables do, count for nothing.
pub(super) fn allocated_bytes(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    let bytes = |entry: fs::DirEntry| match entry.metadata() {
        Ok(data) if data.is_dir() => allocated_bytes(&entry.path()),
        Ok(data) => data.blocks() * BLOCK_BYTES,
        Err(_) => 0,
    };
    entries.flatten().map(bytes).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_and_missing_files_count_for_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().join("below");
        fs::create_dir(&below).unwrap();
        fs::File::create(below.join("hole")).unwrap().set_len(64 << 20).unwrap();
        assert!(allocated_bytes(dir.path()) < 1 << 20);
        let full = fs::File::create(below.join("full")).unwrap();
        std::io::Write::write_all(&mut &full, &[7; 1 << 20]).unwrap();
        full.sync_all().unwrap();
        assert!((1 << 20..2 << 20).contains(&allocated_bytes(dir.path())));
        assert_eq!(allocated_bytes(&dir.path().join("nothing")), 0);
    }
}
