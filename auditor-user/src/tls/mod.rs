//! Which TLS libraries the processes of this host have, and why one is not heard.
//!
//! [`stacks`] is filled in by enrolment; [`look`] reads which files a process has mapped; [`obstacle`] judges.
//! Searches no file and puts no probe anywhere: that is [`crate::probe`].

mod look;
mod obstacle;
mod stacks;

pub(crate) use look::{Knowledge, mapped};
pub(crate) use stacks::{FileKey, Known, Library, Stacks, State, Verdict};
