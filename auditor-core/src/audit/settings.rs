//! What the audit stage is told once: who we are, where we run, how much may leave.

/// Settings of an [`Auditor`](super::Auditor). Plain values, gathered by the caller.
#[derive(Clone, Default)]
pub struct Settings {
    /// Version of the product.
    pub version: String,
    /// Unique for each run of the daemon; the first part of every `metadata.uid`.
    pub run: String,
    /// The host.
    pub device: Device,
    /// How much of the messages leaves.
    pub level: Level,
    /// Key of the hashes that stand for secrets (session ids). Never leaves.
    pub key: [u8; 32],
}

/// The host an event was seen on.
#[derive(Clone, Debug, Default)]
pub struct Device {
    /// Its name.
    pub hostname: String,
    /// Its machine id, where there is one.
    pub uid: Option<String>,
    /// Name of the operating system's distribution.
    pub os_name: Option<String>,
    /// Version of the distribution.
    pub os_version: Option<String>,
    /// Release of the kernel.
    pub kernel_release: Option<String>,
}

/// How much of the messages an event holds.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub enum Level {
    /// No content.
    #[default]
    Metadata,
    /// The text of requests.
    Request,
    /// The text of requests and responses, and of errors.
    RequestResponse,
}
