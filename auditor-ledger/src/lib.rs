//! The tamper-evident log of one node: every audit event is a leaf of a transparency log, kept in files.
//!
//! C2SP tlog-tiles in `log/`, checkpoints as signed notes, an Ed25519 key per start whose predecessor signs it.
//! [`Log`] appends, [`Follower`] reads beside it, [`Reader`] reads and proves, [`verify()`] says whether all is as it was written, [`Proof`] convinces
//! somebody who has nothing but a verifier key. No clock and no network. Bounds: [`ENTRY`] bytes of an entry, [`PENDING`]
//! bytes that wait for a commit, [`SIZE`] entries.

mod bundle;
mod chain;
mod edge;
mod error;
mod files;
mod follow;
mod journal;
mod keys;
mod log;
mod pace;
mod proof;
mod reader;
mod retention;
mod verify;
pub mod witness;

pub use bundle::{BUNDLE, ENTRY};
pub use chain::{Chain, Link};
pub use error::{Error, Invalid};
pub use follow::{Follower, Tail};
pub use keys::is_verifier_key;
pub use log::{Commit, Log, Opened, PENDING};
pub use pace::Pace;
pub use proof::{Proof, Shown};
pub use reader::{Entry, Reader};
pub use retention::Kept;
pub use tlog_tiles::tlog::Hash;
pub use verify::{Demands, Report, Tampering, Verdict, What, verify};

/// Most entries of a log.
pub const SIZE: u64 = 1 << 40;
