//! Loads and attaches the kernel side. The only folder that knows aya.
//!
//! Chooses what this kernel can do and says why the rest is missing; reads nothing of what the probes deliver
//! beyond handing out the ring.

mod attach;
mod btf;
mod cache;
mod contents;
mod enroll;
mod guard;
mod holder;
mod inspect;
mod kernel_side;
mod missed;
mod present;
mod release;
mod ring;
mod twin;
mod verified;

pub(crate) use btf::Btf;
use btf::BtfError;
pub(crate) use enroll::{Enroller, Enrolment, Request};
pub(crate) use guard::Guard;
pub(crate) use inspect::serve as inspect;
pub(crate) use kernel_side::{Counts, KernelSide, Loaded, probes};
pub(crate) use release::Release;
pub(crate) use ring::{Ring, Waker, Woken};
