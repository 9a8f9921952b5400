//! Vector clocks whose processes are strands: the handling of one request by one instance of a service.
//!
//! One counter per instance would order two requests that merely met in the same process; measured on simulated
//! systems that invents nearly half of all orders across traces. A strand's component is never used twice, so an order
//! read from the clocks always stands for a path of messages. Read [`Strand`] next for the rules by which clocks
//! advance, then [`crate::order`] for how they are compared.

mod component;
mod strand;
mod vector;

pub use component::{Component, Instance, NAME_MAX};
pub use strand::{Sent, Strand};
pub use vector::{ENTRIES_MAX, VALUE_MAX, VectorClock};
