//! Responses, likewise.
