//! Files that are read again when they change.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::files::LoadError;

/// Files, and what can be made of them.
pub trait Source {
    /// What is made.
    type Built;

    /// The files.
    fn paths(&self) -> Vec<&Path>;

    /// Reads them.
    fn build(&self) -> Result<Self::Built, LoadError>;
}

/// What a source was built into, until its files change.
///
/// Whoever has it in hand keeps it: a connection that was made with one certificate goes on with it. Files that have
/// become unusable change nothing but a counter, and the log says why.
pub struct Reloading<S: Source> {
    source: S,
    state: Mutex<State<S::Built>>,
}

struct State<T> {
    current: Option<Arc<T>>,
    /// Of the files that are in use, or that were found to be unusable.
    settled: Fingerprint,
    /// Of files that have just changed.
    fresh: Option<Fingerprint>,
    reloads: u64,
    failures: u64,
}

/// What came of looking at the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// As before, or still being written.
    Same,
    /// Others, and in use from now on.
    Reloaded,
    /// Others, which cannot be used: those from before stay.
    Kept,
}

impl<S: Source> Reloading<S> {
    /// Reads the files.
    pub fn load(source: S) -> Result<Self, LoadError> {
        let reloading = Self::lazily(source);
        reloading.current()?;
        Ok(reloading)
    }

    /// Reads the files when they are first needed.
    pub fn lazily(source: S) -> Self {
        let state = State { current: None, settled: Vec::new(), fresh: None, reloads: 0, failures: 0 };
        Self { source, state: Mutex::new(state) }
    }

    /// Where it comes from.
    pub fn source(&self) -> &S {
        &self.source
    }

    /// What is in use.
    pub fn current(&self) -> Result<Arc<S::Built>, LoadError> {
        let mut state = self.state();
        if let Some(current) = &state.current {
            return Ok(Arc::clone(current));
        }
        // Before they are read: what changes meanwhile is seen by the next look.
        state.settled = fingerprint(&self.source);
        let built = Arc::new(self.source.build()?);
        state.current = Some(Arc::clone(&built));
        Ok(built)
    }

    /// Reads the files again if they are others than before, and have been so for two looks in a row: a certificate
    /// and its key are two files, written one after the other.
    pub fn look(&self) -> Look {
        let mut state = self.state();
        if state.current.is_none() {
            return Look::Same;
        }
        let seen = fingerprint(&self.source);
        if seen == state.settled {
            state.fresh = None;
            return Look::Same;
        }
        if state.fresh.as_ref() != Some(&seen) {
            state.fresh = Some(seen);
            return Look::Same;
        }
        state.fresh = None;
        state.settled = seen;
        let files = || self.source.paths().iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
        match self.source.build() {
            Ok(built) => {
                state.current = Some(Arc::new(built));
                state.reloads += 1;
                tracing::info!(files = files(), "certificates reloaded");
                Look::Reloaded
            }
            Err(error) => {
                state.failures += 1;
                tracing::warn!(files = files(), %error, "changed certificates cannot be used, those from before stay");
                Look::Kept
            }
        }
    }

    /// How often changed files were taken into use, and how often they could not be.
    pub fn counts(&self) -> (u64, u64) {
        let state = self.state();
        (state.reloads, state.failures)
    }

    fn state(&self) -> MutexGuard<'_, State<S::Built>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Source + fmt::Debug> fmt::Debug for Reloading<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reloading").field(&self.source).finish()
    }
}

/// Per file: device, inode, size and times; `None` for one that is not there. A file that is replaced, also through a
/// symbolic link as Kubernetes does it, has another inode.
type Fingerprint = Vec<Option<[i128; 7]>>;

fn fingerprint(source: &impl Source) -> Fingerprint {
    let of = |path: &&Path| {
        let file = std::fs::metadata(path).ok()?;
        let times = [file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec()].map(i128::from);
        let [modified, modified_ns, changed, changed_ns] = times;
        let (device, inode, size) = (file.dev().into(), file.ino().into(), file.size().into());
        Some([device, inode, size, modified, modified_ns, changed, changed_ns])
    };
    source.paths().iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// A file whose text is a number.
    struct Number(PathBuf);

    impl Source for Number {
        type Built = u32;

        fn paths(&self) -> Vec<&Path> {
            vec![&self.0]
        }

        fn build(&self) -> Result<u32, LoadError> {
            let text = std::fs::read_to_string(&self.0);
            let text = text.map_err(|error| LoadError::Read { path: self.0.clone(), error })?;
            text.parse().map_err(|_| LoadError::NoCertificate(self.0.clone()))
        }
    }

    #[test]
    fn changed_files_are_taken_once_they_are_at_rest_and_unusable_ones_never() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("number");
        let write = |text: &str| std::fs::write(&path, text).expect("the folder can be written");
        write("1");
        let number = Reloading::load(Number(path.clone())).expect("a number");
        let current = || *number.current().expect("it was loaded");
        assert_eq!((number.look(), current()), (Look::Same, 1));
        write("22");
        assert_eq!((number.look(), current()), (Look::Same, 1), "it may still be being written");
        assert_eq!((number.look(), current()), (Look::Reloaded, 22));
        write("none");
        assert_eq!([number.look(), number.look(), number.look()], [Look::Same, Look::Kept, Look::Same]);
        assert_eq!(current(), 22);
        std::fs::remove_file(&path).expect("it is there");
        assert_eq!([number.look(), number.look()], [Look::Same, Look::Kept]);
        write("333");
        assert_eq!([number.look(), number.look()], [Look::Same, Look::Reloaded]);
        assert_eq!((current(), number.counts()), (333, (2, 2)));
    }

    #[test]
    fn a_file_that_is_not_there_is_an_error_at_the_start_and_found_later_where_it_is_lazy() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("number");
        assert!(Reloading::load(Number(path.clone())).is_err());
        let number = Reloading::lazily(Number(path.clone()));
        assert_eq!(number.look(), Look::Same);
        assert!(number.current().is_err());
        std::fs::write(&path, "7").expect("the folder can be written");
        assert_eq!(*number.current().expect("it is there now"), 7);
    }
}
