//! Remora.

pub mod entity;
