//! What the audit stage asks of the world, and in what form it gets the answer.

use std::{ops::Range, sync::Arc};

use super::workload::{Program, Workflow, Workload};
use crate::{
    identity::Attestation,
    key::{Actor, ChannelId, ProcessKey, Side, Time},
    stream::Channel,
    tls::Chain,
};

/// Knows processes and channels. Answers from memory: it never blocks and does no I/O.
pub trait World {
    /// What is known of a process.
    fn process(&self, key: ProcessKey) -> Option<Arc<Process>>;
    /// What was known of it at a time: it may run another program since.
    fn process_at(&self, key: ProcessKey, _time: Time) -> Option<Arc<Process>> {
        self.process(key)
    }
    /// Whether more will be known of a process in a moment.
    fn is_learning(&self, _process: ProcessKey) -> bool {
        false
    }
    /// What is known of a channel.
    fn channel(&self, id: ChannelId) -> Option<Arc<Channel>>;
    /// Who moved these bytes.
    fn seen(&self, channel: ChannelId, from: Side, range: &Range<u64>) -> Seen;
    /// Whether all that was said up to a time was heard: what is encrypted comes later than what is not.
    fn is_heard(&self, _until: Time) -> bool {
        true
    }
    /// Where records were lost, and with them who moved their bytes: the only process seen at each end.
    fn only_seen(&self, _channel: ChannelId, _from: Side) -> Seen {
        Seen::default()
    }
    /// The certificates that a side of a channel showed in the handshake of TLS before it moved something at a time.
    fn certificates(&self, _channel: ChannelId, _side: Side, _time: Time) -> Option<Arc<Chain>> {
        None
    }
}

/// Who was seen moving a range of bytes. An end that was not seen is `None`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Seen {
    /// The thread that wrote the last byte.
    pub writer: Option<Actor>,
    /// The thread that read the last byte.
    pub reader: Option<Actor>,
    /// Whether both ends of this channel are expected to be on this host.
    pub local: bool,
}

/// A process as it was when it was born or first seen. Unknown is `None`, never guessed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Process {
    /// Which process.
    pub key: ProcessKey,
    /// When it started.
    pub started: Time,
    /// Path of its executable, in its own mount namespace.
    pub exe: Option<String>,
    /// SHA-256 of its executable.
    pub exe_sha256: Option<[u8; 32]>,
    /// Its arguments, cut to 4 KiB in all.
    pub cmdline: Option<Vec<String>>,
    /// Real user id, in the root user namespace.
    pub uid: Option<u32>,
    /// Real group id, in the root user namespace.
    pub gid: Option<u32>,
    /// Path of its cgroup (version 2, else the deepest of version 1).
    pub cgroup: Option<String>,
    /// Id of its cgroup version 2.
    pub cgroup_id: Option<u64>,
    /// Container id, when the cgroup's path shows one.
    pub container: Option<String>,
    /// What it runs in, once that is known.
    pub workload: Option<Arc<Workload>>,
    /// The script that it interprets, where its executable is an interpreter.
    pub program: Option<Arc<Program>>,
    /// What an agent that is trusted said it is.
    pub attestation: Option<Arc<Attestation>>,
    /// The workflow that it works for, by its environment or its pod.
    pub workflow: Option<Arc<Workflow>>,
    /// Its parents, nearest first; at most 16.
    pub lineage: Vec<Ancestor>,
}

/// A parent, grandparent ... of a process.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Ancestor {
    /// Which process.
    pub key: ProcessKey,
    /// Path of its executable.
    pub exe: Option<String>,
}
