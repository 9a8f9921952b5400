//! The configuration file: YAML with the flags' names as keys.
//!
//! ```yaml
//! service: orders
//! inbound: 0.0.0.0:8080=127.0.0.1:9090
//! route:
//!   - 127.0.0.1:9001=payment@payment:8080
//! sample: 0.1
//! ```
//!
//! What is said is kept as text, with its line: [`super::read`] hands it to the command line's own parser, so that a
//! setting is known in one place, and every mistake can be shown where it stands. `off`, `no` and `0.10` are what they
//! look like; anchors, tags and nested mappings have no use here and are refused.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{ArgAction, Command};
use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span};

/// Largest file that is read: a thousand settings take 64 KiB; more is another file given by mistake.
const BYTES_MAX: u64 = 1 << 20;

/// A mistake in the file, where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileError {
    /// The file, as it was named.
    pub path: PathBuf,
    /// The line; `None` where it is of the whole file.
    pub line: Option<usize>,
    /// What is wrong.
    pub problem: String,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.problem)
    }
}

/// What a file says, mistakes included.
#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    entries: Vec<Entry>,
    pub(super) errors: Vec<FileError>,
}

/// One setting.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) line: usize,
    pub(super) values: Vec<Value>,
    list: bool,
}

/// One value of a setting.
#[derive(Debug)]
pub(super) struct Value {
    pub(super) text: String,
    pub(super) line: usize,
}

impl File {
    /// Reads a file; what cannot be read is one of its errors.
    pub(super) fn read(path: &Path) -> Self {
        let mut file = Self { path: path.to_owned(), entries: Vec::new(), errors: Vec::new() };
        let mut bytes = Vec::new();
        let read = std::fs::File::open(path).and_then(|open| open.take(BYTES_MAX + 1).read_to_end(&mut bytes));
        match read {
            Err(error) => file.wrong(None, format!("cannot be read: {error}; check --config")),
            Ok(_) if bytes.len() as u64 > BYTES_MAX => {
                file.wrong(None, "is over 1 MiB, which no configuration is; check --config".to_owned());
            }
            Ok(_) => match String::from_utf8(bytes) {
                Ok(text) => file.parse(&text),
                Err(_) => file.wrong(None, "is not text (UTF-8); check --config".to_owned()),
            },
        }
        file
    }

    /// What is known to the command line, and was not told twice.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// An error at a line of this file.
    pub(super) fn error(&self, line: usize, problem: String) -> FileError {
        FileError { path: self.path.clone(), line: Some(line), problem }
    }

    /// Takes out what the command line does not know, or does not know as a list.
    pub(super) fn check_keys(&mut self, command: &Command) {
        let mut seen: Vec<(String, usize)> = Vec::new();
        let mut kept = Vec::new();
        for entry in std::mem::take(&mut self.entries) {
            let argument = settings(command).find(|argument| argument.get_long() == Some(&entry.key));
            let problem = match argument {
                None => Some(unknown(&entry.key, command)),
                Some(argument) if entry.list && !matches!(argument.get_action(), ArgAction::Append) => {
                    Some(format!("{} takes one value, not a list", entry.key))
                }
                Some(_) => (seen.iter().find(|(key, _)| *key == entry.key))
                    .map(|(key, line)| format!("{key} stands in line {line} already: give several values as a list")),
            };
            seen.push((entry.key.clone(), entry.line));
            match problem {
                Some(problem) => self.wrong(Some(entry.line), problem),
                None => kept.push(entry),
            }
        }
        self.entries = kept;
    }

    fn wrong(&mut self, line: Option<usize>, problem: String) {
        self.errors.push(FileError { path: self.path.clone(), line, problem });
    }

    fn parse(&mut self, text: &str) {
        if let Err(error) = self.documents(&mut Parser::new_from_str(text)) {
            self.wrong(Some(error.marker().line()), format!("this is not YAML: {}", error.info()));
        }
    }

    fn documents<'a>(&mut self, events: &mut impl Iterator<Item = Parsed<'a>>) -> Result<(), ScanError> {
        let mut documents = 0;
        while let Some(event) = events.next() {
            let (event, span) = event?;
            match event {
                Event::DocumentStart(_) => {
                    documents += 1;
                    if documents == 2 {
                        self.wrong(Some(line(&span)), "a second document begins: one file holds one".to_owned());
                    }
                }
                Event::MappingStart(..) if documents == 1 => self.settings(events)?,
                Event::Scalar(text, style, ..) if documents == 1 && !is_null(&text, style) => {
                    self.wrong(Some(line(&span)), "write KEY: VALUE, one setting a line".to_owned());
                }
                Event::SequenceStart(..) | Event::MappingStart(..) => {
                    if documents == 1 {
                        self.wrong(Some(line(&span)), "write KEY: VALUE, without a dash in front".to_owned());
                    }
                    skip(events)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The keys and values of the outermost mapping.
    fn settings<'a>(&mut self, events: &mut impl Iterator<Item = Parsed<'a>>) -> Result<(), ScanError> {
        while let Some(event) = events.next() {
            let (event, span) = event?;
            let line = line(&span);
            match event {
                Event::MappingEnd => break,
                Event::Scalar(key, ..) => self.setting(key.into_owned(), line, events)?,
                event => {
                    self.wrong(Some(line), "a key is a word, as in service: orders".to_owned());
                    if opens(&event) {
                        skip(events)?;
                    }
                    // Its value.
                    if let Some(value) = events.next()
                        && opens(&value?.0)
                    {
                        skip(events)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn setting<'a>(
        &mut self,
        key: String,
        at: usize,
        events: &mut impl Iterator<Item = Parsed<'a>>,
    ) -> Result<(), ScanError> {
        let mut entry = Entry { key, line: at, values: Vec::new(), list: false };
        let Some(value) = events.next() else { return Ok(()) };
        let (value, span) = value?;
        match value {
            Event::Scalar(text, style, ..) => entry.take(&text, style, &span),
            Event::SequenceStart(..) => {
                entry.list = true;
                while let Some(item) = events.next() {
                    let (item, span) = item?;
                    match item {
                        Event::SequenceEnd => break,
                        Event::Scalar(text, style, ..) => entry.take(&text, style, &span),
                        item => self.nested(&item, &entry.key, &span, events)?,
                    }
                }
            }
            value => {
                self.nested(&value, &entry.key, &span, events)?;
                return Ok(());
            }
        }
        self.entries.push(entry);
        Ok(())
    }

    /// Where a value should stand, and something else does.
    fn nested<'a>(
        &mut self,
        event: &Event,
        key: &str,
        span: &Span,
        events: &mut impl Iterator<Item = Parsed<'a>>,
    ) -> Result<(), ScanError> {
        let problem = match event {
            Event::Alias(_) => format!("{key}: aliases are not followed; write the value"),
            _ => format!("{key} takes a value or a list of values, nothing below; quote what holds ': '"),
        };
        self.wrong(Some(line(span)), problem);
        if opens(event) { skip(events) } else { Ok(()) }
    }
}

impl Entry {
    fn take(&mut self, text: &str, style: ScalarStyle, span: &Span) {
        if !is_null(text, style) {
            self.values.push(Value { text: text.to_owned(), line: line(span) });
        }
    }
}

type Parsed<'a> = Result<(Event<'a>, Span), ScanError>;

/// What can stand in a file: every flag but those that are about the command line itself.
pub(super) fn settings(command: &Command) -> impl Iterator<Item = &clap::Arg> {
    command.get_arguments().filter(|argument| !matches!(argument.get_id().as_str(), "help" | "version" | "config"))
}

/// An absent value, as after `outbound:`.
fn is_null(text: &str, style: ScalarStyle) -> bool {
    matches!(style, ScalarStyle::Plain) && matches!(text, "" | "~" | "null")
}

fn line(span: &Span) -> usize {
    span.start.line()
}

fn opens(event: &Event) -> bool {
    matches!(event, Event::SequenceStart(..) | Event::MappingStart(..))
}

/// Leaves out the rest of what has just been opened.
fn skip<'a>(events: &mut impl Iterator<Item = Parsed<'a>>) -> Result<(), ScanError> {
    let mut depth = 1_usize;
    while depth > 0
        && let Some(event) = events.next()
    {
        match event?.0 {
            Event::SequenceEnd | Event::MappingEnd => depth -= 1,
            event if opens(&event) => depth += 1,
            _ => {}
        }
    }
    Ok(())
}

fn unknown(key: &str, command: &Command) -> String {
    let plain = key.trim_start_matches('-').replace('_', "-").to_lowercase();
    let like = |name: &&str| strsim::jaro_winkler(&plain, name);
    let nearest = settings(command).filter_map(clap::Arg::get_long).max_by(|one, two| like(one).total_cmp(&like(two)));
    // 0.8: beyond it people ask themselves how the two are alike.
    match nearest.filter(|name| like(name) > 0.8) {
        Some(name) => format!("unknown key {key:?}; did you mean {name}?"),
        None => format!("unknown key {key:?}; `raceway-proxy config --example` shows all"),
    }
}
