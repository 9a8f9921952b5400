//! What is promised, over real processes and sockets: one module per promise.
#![allow(clippy::indexing_slicing, reason = "in a test a panic is the answer")]

mod analyzer_away;
mod applications;
mod callers;
mod callers_kept;
mod carriers;
mod clocks;
mod confined;
mod context;
mod conversations;
mod critical_path;
mod demo;
mod drain;
mod endings;
mod exporter_metrics;
mod forward_proxy;
mod hostile;
mod in_a_row;
mod intercept;
mod keep_alive;
mod malformed;
mod opentelemetry;
mod operator;
mod raceway_sdk;
mod ready_file;
mod spill;
mod threads;
mod tls;
mod transparent;
mod usage;
