//! Kernel side.
fn main(){}
