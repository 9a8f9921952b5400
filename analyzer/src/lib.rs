//! The analyzer: takes spans in, keeps them, works out what they mean, and gives answers.
//!
//! Start reading at [`serve`], the life of the process. A span's way: [`ingest`] decodes it, [`store`] makes it
//! durable and the client has its answer, a [`live::Live`] view counts it, [`api`] shows it.

mod config;
pub mod ingest;
mod listen;
pub mod live;
mod serve;
pub mod store;

pub mod analysis;
pub mod api;

pub use config::Config;
pub use serve::{Parts, main};
