//! `raceway`: the front door on a laptop.

fn main() {}
