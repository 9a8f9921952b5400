//! `raceway-proxy config --example`: a configuration file with every key, made from the flags themselves.

use std::fmt::Write;

use clap::{ArgAction, CommandFactory};

use super::Args;
use super::file::settings;

/// Columns of a comment.
const WIDTH: usize = 100;

/// A file that runs as it is, and shows every other key as a comment with its default or the form of its value.
pub fn example() -> String {
    let mut text = "# raceway-proxy --config FILE: the flags' names are the keys, repeated flags are lists.\n\
                    # A flag wins over RACEWAY_*, which wins over OTEL_*, which wins over this file.\n"
        .to_owned();
    let command = Args::command();
    let mut under = None;
    for argument in settings(&command) {
        let Some(key) = argument.get_long() else { continue };
        if under != argument.get_help_heading() {
            under = argument.get_help_heading();
            // Writing into a String does not fail.
            writeln!(text, "\n# ---- {}", under.unwrap_or_default()).ok();
        }
        text.push('\n');
        comment(&mut text, &argument.get_help().map(ToString::to_string).unwrap_or_default());
        let given = match key {
            "service" => Some("orders"),
            "inbound" => Some("0.0.0.0:8080=127.0.0.1:9090"),
            _ => None,
        };
        let default = argument.get_default_values().first().and_then(|value| value.to_str());
        let form = argument.get_value_names().and_then(|names| names.first()).map_or("", |name| name.as_str());
        let (mark, value) = given.map_or(("#", default.unwrap_or(form)), |given| ("", given));
        if matches!(argument.get_action(), ArgAction::Append) {
            writeln!(text, "{mark}{key}:\n{mark}  - {value}").ok();
        } else {
            writeln!(text, "{mark}{key}: {value}").ok();
        }
    }
    text
}

fn comment(text: &mut String, said: &str) {
    let mut column = usize::MAX;
    for word in said.split_whitespace() {
        if column.saturating_add(word.len()) >= WIDTH {
            if column != usize::MAX {
                text.push('\n');
            }
            text.push('#');
            column = 1;
        }
        text.push(' ');
        text.push_str(word);
        column += word.len() + 1;
    }
    text.push('\n');
}
