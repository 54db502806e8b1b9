//! Who runs on this host: processes, their programs, cgroups, containers and pods.
//!
//! Filled from /proc at the start and by the kernel side afterwards, so that a process that lived for milliseconds
//! is known by the time its event is made.

mod cgroup;
mod containers;
mod hash;
mod pods;
mod proc;
mod program;
mod spire;
mod table;
mod workflow;

pub(crate) use cgroup::Cgroups;
pub(crate) use containers::Containers;
pub(crate) use hash::Hasher;
pub(crate) use pods::{Pods, State as Watch, probe};
pub(crate) use proc::{TICK, is_same as is_running};
pub(crate) use program::Programs;
pub(crate) use spire::Spire;
pub(crate) use table::{Lost, Table};
pub(crate) use workflow::Workflows;
