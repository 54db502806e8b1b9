//! What kernel side and daemon share.
#![no_std]
