//! Words for people: results go to stdout, everything else to stderr, and a closed pipe is nobody's error.

use std::fmt::Display;
use std::io::{IsTerminal, Write};

/// What is said while something runs: lines on stderr, and one line that is written over where that is a terminal.
#[derive(Debug)]
pub struct Say {
    terminal: bool,
    line_open: bool,
}

impl Say {
    /// Finds out whether stderr is a terminal.
    pub fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), line_open: false }
    }

    /// Whether the progress line is seen live; elsewhere it should come seldom.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// One line that stays.
    pub fn line(&mut self, text: impl Display) {
        let mut stderr = std::io::stderr().lock();
        let start = if self.line_open { "\r\x1b[K" } else { "" };
        let _ = writeln!(stderr, "{start}{text}");
        self.line_open = false;
    }

    /// How far it is: replaces what was shown before on a terminal, a line of its own elsewhere.
    pub fn progress(&mut self, text: impl Display) {
        let mut stderr = std::io::stderr().lock();
        if self.terminal {
            // Auto-wrap off for the line, so that a narrow window cuts it instead of scrolling.
            let _ = write!(stderr, "\r\x1b[K\x1b[?7l{text}\x1b[?7h");
            let _ = stderr.flush();
            self.line_open = true;
        } else {
            let _ = writeln!(stderr, "{text}");
        }
    }

    /// Leaves the cursor on a line of its own.
    pub fn end_progress(&mut self) {
        if std::mem::take(&mut self.line_open) {
            let _ = writeln!(std::io::stderr().lock());
        }
    }
}

impl Default for Say {
    fn default() -> Self {
        Self::new()
    }
}

/// A result, on stdout.
pub(crate) fn result(text: impl Display) {
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{text}");
}

/// What went wrong, as one line on stderr.
pub(crate) fn complaint(text: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "raceway: {text}");
}
