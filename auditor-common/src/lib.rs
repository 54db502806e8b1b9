//! What kernel side and daemon share: the layout of records, their keys and their limits.
//!
//! No code beyond constants: both sides must agree on every byte, so layouts are asserted here.
#![no_std]

pub mod cookie;
pub mod limit;
pub mod offset;
pub mod record;
