//! From what was observed to what leaves the process.

pub mod clients;
