//! A Unix socket that only its owner can open, in the place of one that a killed process left.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// A socket that listens, and what takes its file away.
pub(super) struct Bound {
    pub(super) listener: UnixListener,
    pub(super) remove: Remove,
}

/// Removes the socket's file when dropped, if it is still this one.
pub(super) struct Remove {
    path: PathBuf,
    inode: u64,
}

/// Listens at a path. The error says what to do about it.
pub(super) fn bind(path: &Path) -> io::Result<Bound> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(told(&error, "check the path")),
        Ok(there) if !there.file_type().is_socket() => {
            return Err(io::Error::other("something else is there, which is no socket: name another path"));
        }
        Ok(_) if UnixStream::connect(path).is_ok() => {
            return Err(io::Error::other("another sidecar listens there: stop it, or give each a path of its own"));
        }
        // Left by a process that was killed.
        Ok(_) => {}
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| told(&error, "make the folder, writable for this process"))?;
    }
    // Under a name of its own first, so that nobody can open it before its mode is set, and one step replaces the old.
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let beside = path.with_file_name(name);
    let _ = fs::remove_file(&beside);
    let bound = || {
        let listener = UnixListener::bind(&beside)?;
        listener.set_nonblocking(true)?;
        fs::set_permissions(&beside, fs::Permissions::from_mode(0o600))?;
        fs::rename(&beside, path)?;
        let inode = fs::symlink_metadata(path)?.ino();
        Ok(Bound { listener, remove: Remove { path: path.to_owned(), inode } })
    };
    bound().map_err(|error: io::Error| {
        // Best effort: the error that matters is the first one.
        let _ = fs::remove_file(&beside);
        told(&error, "the folder must be writable, and the path at most 90 bytes long")
    })
}

fn told(error: &io::Error, advice: &str) -> io::Error {
    io::Error::new(error.kind(), format!("cannot listen there: {error}; {advice}"))
}

impl Drop for Remove {
    fn drop(&mut self) {
        // One that took this one's place is another process's.
        if fs::symlink_metadata(&self.path).is_ok_and(|there| there.ino() == self.inode)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::debug!(%error, "cannot remove the control socket");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_its_owners_replaces_a_stale_one_and_goes_with_its_process() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("below/control.sock");
        let first = bind(&path).expect("free");
        let mode = fs::metadata(&path).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let taken = bind(&path).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(taken.contains("another sidecar listens there"), "{taken}");
        // As after kill -9: the file stays, nobody listens.
        let Bound { listener, remove } = first;
        drop(listener);
        let second = bind(&path).expect("stale");
        drop(remove);
        assert!(path.exists(), "it is the second one's by now");
        UnixStream::connect(&path).expect("it listens");
        drop(second);
        assert!(!path.exists());
        assert_eq!(fs::read_dir(folder.path().join("below")).expect("a folder").count(), 0);
    }

    #[test]
    fn what_is_no_socket_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("notes.txt");
        fs::write(&file, "notes").expect("writable");
        for (path, expected) in [
            (file.clone(), "no socket"),
            (file.join("control.sock"), "Not a directory"),
            (folder.path().join("x".repeat(200)), "90 bytes"),
        ] {
            let error = bind(&path).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(expected), "{error}");
        }
        assert_eq!(fs::read_to_string(&file).expect("still there"), "notes");
    }
}
