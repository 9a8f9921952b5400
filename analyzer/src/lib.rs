//! The analyzer: takes spans in, keeps them, works out what they mean, and gives answers.

pub mod store;
