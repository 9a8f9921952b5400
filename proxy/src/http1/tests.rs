//! The codec against bytes.
