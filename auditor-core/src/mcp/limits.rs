//! Bounds and waiting times of this stage. Numbers only.

/// What the stage holds at most, and how long it waits. Times are nanoseconds.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Sessions. At the bound the one unheard for longest ends, those without MCP first; its open
    /// interactions end as [`Abandoned`](super::LostCause::Abandoned).
    pub sessions: usize,
    /// Channels. At the bound the one unheard for longest is forgotten with its session.
    pub channels: usize,
    /// Open interactions in one session. At the bound the oldest ends as `Abandoned`.
    pub open_per_session: usize,
    /// Open interactions in all. At the bound the oldest ends as `Abandoned`.
    pub open: usize,
    /// Messages of one session that wait: for evidence that it is MCP, or answers for their
    /// request. At the bound the oldest goes: dropped if it may not be MCP, else reported unpaired.
    pub waiting: usize,
    /// Bytes held by all messages that wait, a kilobyte for each and its body. At the bound bodies
    /// are not kept; then what may not be MCP is dropped, and answers are reported unpaired.
    pub held_bytes: usize,
    /// Bytes of the bodies of all open requests. At the bound bodies are not kept.
    pub body_bytes: usize,
    /// Messages in one batch. The rest is reported as a gap.
    pub batch: usize,
    /// Pipes of one process that are looked at to find where an answer belongs. Beyond it the
    /// answer counts as ambiguous.
    pub candidates: usize,
    /// An interaction open for longer is reported once as open.
    pub open_report: u64,
    /// How long an answer waits for a request that is processed late.
    pub late_request: u64,
    /// How long an answer waits while it is ambiguous to which pipe it answers.
    pub ambiguous: u64,
    /// How long a cancelled request waits for an answer that was under way.
    pub cancelled: u64,
    /// How long after the end of a channel or a process its last messages are waited for.
    pub settle: u64,
    /// How long a request waits for its answer on another HTTP exchange (resumed streams).
    pub resume: u64,
}

impl Default for Limits {
    fn default() -> Self {
        const MILLISECOND: u64 = 1_000_000;
        Self {
            sessions: 4096,
            channels: 16_384,
            open_per_session: 4096,
            open: 32_768,
            waiting: 256,
            held_bytes: 16 << 20,
            body_bytes: 64 << 20,
            batch: 4096,
            candidates: 256,
            open_report: 1000 * MILLISECOND,
            late_request: 100 * MILLISECOND,
            ambiguous: 2000 * MILLISECOND,
            cancelled: 1000 * MILLISECOND,
            settle: 200 * MILLISECOND,
            resume: 30_000 * MILLISECOND,
        }
    }
}
