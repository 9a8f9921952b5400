//! From the command line, the environment and a file to one [`Config`].
//!
//! What the file says is put in front of the command line, as flags, where neither a flag nor a variable says
//! otherwise; so there is one parser, and a new flag is a new key by itself.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, CommandFactory, FromArgMatches, Parser};

use super::error::ConfigError;
use super::file::{Entry, File, settings};
use super::{Args, Config, given, otel, values};

/// Why there is nothing to run with.
#[derive(Debug)]
pub enum Unusable {
    /// Help was asked for, or the command line cannot be read.
    CommandLine(clap::Error),
    /// Every mistake in the settings.
    Settings(Vec<ConfigError>),
}

impl From<clap::Error> for Unusable {
    fn from(error: clap::Error) -> Self {
        Self::CommandLine(error)
    }
}

impl Config {
    /// Reads the command line, program name first, with this process's environment and `--config` behind it.
    pub fn read(args: impl IntoIterator<Item = OsString>) -> Result<Self, Unusable> {
        Self::read_with(args.into_iter().collect(), &|name| std::env::var(name).ok())
    }

    pub(super) fn read_with(
        args: Vec<OsString>,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Unusable> {
        let matches = Args::command().try_get_matches_from(&args)?;
        let first = Args::from_arg_matches(&matches)?;
        let Some(path) = given(first.config.clone()) else {
            return Self::check(first, environment).map_err(Unusable::Settings);
        };
        let mut file = File::read(Path::new(&path));
        file.check_keys(&Args::command());
        let mut merged = Merged::new(&file, &matches, environment);
        let checked = match Args::try_parse_from(merged.command_line(args)) {
            Ok(args) => Self::check(args, environment),
            // Both halves are readable, so it is one of the file's values.
            Err(error) => match merged.unreadable(&file) {
                errors if errors.is_empty() => return Err(error.into()),
                errors => Err(errors),
            },
        };
        let mut errors: Vec<_> = file.errors.iter().cloned().map(ConfigError::File).collect();
        errors.append(&mut merged.errors);
        match checked {
            Ok(config) if errors.is_empty() => return Ok(config),
            Ok(_) => {}
            Err(mut found) => {
                // What is missing may be what a mistake in the file hides.
                let hidden = !errors.is_empty();
                found.retain(|it| !(hidden && matches!(it, ConfigError::NoService | ConfigError::NothingToCarry)));
                errors.extend(found.into_iter().map(|error| merged.located(&file, error)));
            }
        }
        // In the order in which they stand; what stands nowhere comes last.
        errors.sort_by_key(|error| match error {
            ConfigError::File(error) => error.line.unwrap_or(0),
            _ => usize::MAX,
        });
        Err(Unusable::Settings(errors))
    }
}

/// What of a file counts.
struct Merged<'a> {
    used: Vec<&'a Entry>,
    /// Each with the line it stands in.
    flags: Vec<(OsString, usize)>,
    errors: Vec<ConfigError>,
}

impl<'a> Merged<'a> {
    fn new(file: &'a File, matches: &ArgMatches, environment: &dyn Fn(&str) -> Option<String>) -> Self {
        let command = Args::command();
        let mut merged = Self { used: Vec::new(), flags: Vec::new(), errors: Vec::new() };
        for entry in file.entries() {
            let Some(argument) = settings(&command).find(|argument| argument.get_long() == Some(&entry.key)) else {
                continue;
            };
            let id = argument.get_id().as_str();
            let said = match matches.value_source(id) {
                Some(ValueSource::CommandLine) => true,
                // An empty variable is none: `${NAME:-}` in a compose file sets one.
                Some(ValueSource::EnvVariable) => {
                    argument.get_env().and_then(std::env::var_os).is_some_and(|value| !value.is_empty())
                }
                _ => false,
            };
            if said || otel::stands_in(&entry.key, environment) {
                continue;
            }
            for value in &entry.values {
                let flag = format!("--{}", entry.key);
                match argument.get_action() {
                    ArgAction::SetTrue => match values::switch(value.text.trim()) {
                        Ok(true) => merged.flags.push((flag.into(), value.line)),
                        Ok(false) => {}
                        Err(problem) => {
                            let told = format!("{} {:?}: {problem}", entry.key, value.text);
                            merged.errors.push(ConfigError::File(file.error(value.line, told)));
                        }
                    },
                    _ => merged.flags.push((format!("{flag}={}", value.text).into(), value.line)),
                }
            }
            merged.used.push(entry);
        }
        merged
    }

    /// The file's flags, then those that were typed.
    fn command_line(&self, mut typed: Vec<OsString>) -> Vec<OsString> {
        let rest = typed.split_off(typed.len().min(1));
        typed.extend(self.flags.iter().map(|(flag, _)| flag.clone()));
        typed.extend(rest);
        typed
    }

    /// Values that the command line's parser does not take.
    fn unreadable(&self, file: &File) -> Vec<ConfigError> {
        let wrong = |flag: &OsStr| Args::try_parse_from([OsStr::new("raceway-proxy"), flag]).err();
        let all = self.flags.iter().filter_map(|(flag, line)| {
            let told = super::one_line(&wrong(flag)?);
            Some(ConfigError::File(file.error(*line, told)))
        });
        all.collect()
    }

    /// The same error, with its place where it is one of the file's values.
    fn located(&self, file: &File, error: ConfigError) -> ConfigError {
        let (flags, value) = error.about();
        let entry = flags.iter().filter_map(|flag| flag.strip_prefix("--")).find_map(|key| {
            // The second of two that collide is the one to change, so the last one counts.
            self.used.iter().rev().find(|entry| entry.key == key)
        });
        let Some(entry) = entry else { return error };
        let is_it = |text: &str| value.is_some_and(|value| text.split(',').any(|part| part.trim() == value.trim()));
        let exact = entry.values.iter().find(|given| is_it(&given.text) || Some(given.text.as_str()) == value);
        let line = exact.map_or(entry.line, |value| value.line);
        let told = error.to_string();
        ConfigError::File(file.error(line, told.strip_prefix("--").unwrap_or(&told).to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::example;

    const WHOLE: &str = "\
# comments are comments
service: orders
inbound: 127.0.0.1:0=app:9090
route:
  - 127.0.0.1:0=payment@payment:8080
  - 127.0.0.1:0=stock:8080
admin: off
sample: 0.10
grace: 5
expose-trace-id: yes
log-format: \"json\"
outbound:
";

    /// What a sidecar with this file, these flags and this environment would run with; else each mistake in a line.
    fn read(text: &[u8], flags: &str, environment: &[(&str, &str)]) -> Result<Config, Vec<String>> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("raceway.yaml");
        std::fs::write(&path, text).expect("writable");
        let config = format!("--config={}", path.display());
        let args = ["raceway-proxy", &config].into_iter().chain(flags.split_whitespace()).map(OsString::from).collect();
        let find = |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let shorter = |text: String| text.replace(&path.display().to_string(), "raceway.yaml");
        Config::read_with(args, &find).map_err(|error| match error {
            Unusable::CommandLine(error) => vec![shorter(error.to_string())],
            Unusable::Settings(errors) => errors.iter().map(|error| shorter(error.to_string())).collect(),
        })
    }

    #[test]
    fn a_file_says_what_flags_would() {
        let config = read(WHOLE.as_bytes(), "", &[]).expect("valid");
        assert_eq!(&*config.identity.service, "orders");
        let routes: Vec<_> = config.routes.iter().map(|route| route.target.to_string()).collect();
        assert_eq!(routes, ["payment:8080", "stock:8080"]);
        assert_eq!((config.admin, config.outbound, config.expose_trace_id), (None, None, true));
        assert!((config.sample - 0.1).abs() < f64::EPSILON);
        assert_eq!(config.grace.as_secs(), 5);
        assert_eq!(config.log_format, crate::config::LogFormat::Json);
    }

    #[test]
    fn flags_win_over_opentelemetry_which_wins_over_the_file() {
        let otel = [("OTEL_SERVICE_NAME", "otel"), ("OTEL_TRACES_SAMPLER", "always_off")];
        let config = read(WHOLE.as_bytes(), "", &otel).expect("valid");
        assert_eq!((&*config.identity.service, config.sample), ("otel", 0.0));
        let config = read(WHOLE.as_bytes(), "--service flag --sample 0.5 --route 127.0.0.1:0=only:1", &otel);
        let config = config.expect("valid");
        assert_eq!((&*config.identity.service, config.sample, config.routes.len()), ("flag", 0.5, 1));
        // An empty variable is none.
        let config = read(WHOLE.as_bytes(), "", &[("OTEL_SERVICE_NAME", "")]).expect("valid");
        assert_eq!(&*config.identity.service, "orders");
    }

    #[test]
    fn every_mistake_is_told_with_its_line() {
        let rows: [(&str, &[&str]); 17] = [
            (
                "sample: 2\ngrace: x\n",
                &[
                    "raceway.yaml:13: sample \"2\": must be a ratio from 0",
                    "raceway.yaml:14: grace \"x\": must be a number of seconds",
                ],
            ),
            ("inbuond: x\n", &["raceway.yaml:13: unknown key \"inbuond\"; did you mean inbound?"]),
            ("link_policy: all\n", &["raceway.yaml:13: unknown key \"link_policy\"; did you mean link-policy?"]),
            ("--log-levle: all\n", &["raceway.yaml:13: unknown key \"--log-levle\"; did you mean log-level?"]),
            ("zzz: x\n", &["raceway.yaml:13: unknown key \"zzz\"; `raceway-proxy config --example` shows all"]),
            ("config: other.yaml\n", &["raceway.yaml:13: unknown key \"config\""]),
            ("service: twice\n", &["raceway.yaml:13: service stands in line 2 already"]),
            (
                "ignore: [/a, b,\n  /c/**/d]\n",
                &[
                    "raceway.yaml:13: ignore \"b\": a path pattern starts with '/'",
                    "raceway.yaml:14: ignore \"/c/**/d\": '**' stands for",
                ],
            ),
            ("log-level: [info]\n", &["raceway.yaml:13: log-level takes one value, not a list"]),
            ("namespace:\n  name: shop\n", &["raceway.yaml:14: namespace takes a value or a list of values"]),
            ("redact:\n  - /x/{a}\n  - b: c\n", &["raceway.yaml:15: redact takes a value or a list of values"]),
            ("namespace: &a x\nenvironment: *a\n", &["raceway.yaml:14: environment: aliases are not followed"]),
            ("? [a, b]\n: c\nsample: 3\n", &["raceway.yaml:13: a key is a word", "raceway.yaml:15: sample \"3\""]),
            ("analyzer: ftp://x\n", &["raceway.yaml:13: analyzer: "]),
            ("---\nservice: b\n", &["raceway.yaml:13: a second document begins"]),
            ("namespace: \"open\n", &["raceway.yaml:13: this is not YAML: "]),
            ("outbound-allow: 10.0.0.0/8\n", &["raceway.yaml:13: outbound-allow names clients of the forward proxy"]),
        ];
        for (more, expected) in rows {
            let more = WHOLE.replace("sample: 0.10\n", "\n").replace("grace: 5\n", "\n") + more;
            let told = read(more.as_bytes(), "", &[]).expect_err(&more);
            let fits = told.len() == expected.len() && told.iter().zip(expected).all(|(told, it)| told.starts_with(it));
            assert!(fits, "{more}\n{told:#?}\n{expected:#?}");
        }
        for (text, expected) in [
            (&b"- service: a"[..], "raceway.yaml:1: write KEY: VALUE, without a dash"),
            (b"service", "raceway.yaml:1: write KEY: VALUE, one setting a line"),
            (b"service: \xff", "raceway.yaml: is not text"),
            (&[b'#'; 2 << 20], "raceway.yaml: is over 1 MiB"),
        ] {
            let told = read(text, "", &[]).expect_err("wrong");
            assert!(told.first().is_some_and(|first| first.starts_with(expected)), "{told:?}");
        }
    }

    #[test]
    fn what_is_wrong_on_the_command_line_is_told_beside() {
        let told = read(b"service: a\nsample: 3\noutbound: 127.0.0.1:0\n", "--grace x", &[]).expect_err("wrong");
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told.iter().any(|it| it.starts_with("--grace \"x\"")), "{told:?}");
        let args = ["raceway-proxy", "--config", "/nowhere/raceway.yaml"].map(OsString::from).to_vec();
        let Err(Unusable::Settings(told)) = Config::read_with(args, &|_| None) else { panic!("it is not there") };
        let told = told.first().map(ToString::to_string).unwrap_or_default();
        assert!(told.starts_with("/nowhere/raceway.yaml: cannot be read: No such file"), "{told}");
    }

    #[test]
    fn the_example_holds_every_flag_and_runs() {
        let text = example();
        let config = read(text.as_bytes(), "", &[]).unwrap_or_else(|errors| panic!("{errors:#?}\n{text}"));
        assert_eq!(&*config.identity.service, "orders");
        let command = Args::command();
        for key in settings(&command).filter_map(clap::Arg::get_long) {
            let there = text.lines().any(|line| line.trim_start_matches('#').starts_with(&format!("{key}:")));
            assert!(there, "{key} is not in\n{text}");
        }
        // Every key is taken, with the line's own words where something is wrong with its value.
        for argument in settings(&command) {
            let key = argument.get_long().expect("every setting has a long flag");
            let told = read(format!("{key}: ''\n").as_bytes(), "", &[]).err().unwrap_or_default();
            assert!(!told.iter().any(|it| it.contains("unknown key")), "{key}: {told:?}");
        }
    }
}
