//! The `waxseal` command line.

fn main() {}
