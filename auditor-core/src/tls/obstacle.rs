//! Why the plaintext of a connection is not seen at one of its ends, and what mends it. Words only.

/// Why TLS at one end is not heard.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Obstacle {
    /// The kind of reason.
    pub reason: Reason,
    /// The library, where it is known.
    pub stack: Option<String>,
    /// The file that holds it.
    pub file: Option<String>,
    /// What was found wrong with it, in words.
    pub detail: Option<String>,
}

/// Kinds of reasons.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Reason {
    /// Java's own TLS, which is compiled at run time.
    JavaJsse,
    /// NSS, whose functions move every kind of bytes.
    Nss,
    /// A library whose functions could not be found.
    FunctionsNotFound,
    /// Probes at returns could end programs on this kernel.
    KernelUnsafeReturns,
    /// A file too large to be searched.
    TooLarge,
    /// More libraries than can be probed at once.
    TooMany,
    /// The kernel refused a probe, or the file could not be read.
    NotProbed,
    /// The file was met for the first time, and searched while the connection went on.
    NotProbedYet,
    /// The connection is older than the auditor.
    BeforeProbes,
    /// Its library is probed, yet nothing came through.
    NothingHeard,
    /// None of its files holds a TLS library that is known.
    NoKnownStack,
    /// The process ended before it could be looked at.
    ProcessGone,
    /// Records were lost meanwhile, perhaps those of its plaintext.
    RecordsLost,
    /// Nobody knows.
    #[default]
    Unknown,
}

impl Reason {
    /// The word in an event.
    pub const fn code(self) -> &'static str {
        match self {
            Self::JavaJsse => "java_jsse",
            Self::Nss => "nss",
            Self::FunctionsNotFound => "functions_not_found",
            Self::KernelUnsafeReturns => "kernel_unsafe_returns",
            Self::TooLarge => "too_large",
            Self::TooMany => "too_many",
            Self::NotProbed => "not_probed",
            Self::NotProbedYet => "not_probed_yet",
            Self::BeforeProbes => "before_probes",
            Self::NothingHeard => "nothing_heard",
            Self::NoKnownStack => "no_known_stack",
            Self::ProcessGone => "process_gone",
            Self::RecordsLost => "records_lost",
            Self::Unknown => "unknown",
        }
    }

    /// What mends it.
    pub const fn mend(self) -> &'static str {
        match self {
            Self::JavaJsse | Self::Nss => {
                "let a proxy on this host end TLS for it, or audit the other end of the connection"
            }
            Self::FunctionsNotFound => {
                "use a build of the program that keeps its symbols, or links its TLS library dynamically"
            }
            Self::KernelUnsafeReturns => "use Linux 6.12.14, 6.13.3 or 6.14, or later",
            Self::TooLarge => {
                "link its TLS library dynamically, so that the file to be searched is small"
            }
            Self::TooMany => "restart the auditor: files that are gone then no longer count",
            Self::NotProbed => "the auditor's log says what the kernel refused",
            Self::NotProbedYet => {
                "none is needed: the file is known now, and heard from the next connection on"
            }
            Self::BeforeProbes => "let the program connect again",
            Self::NothingHeard => {
                "if the program did send requests, report it with its name and version"
            }
            Self::NoKnownStack => {
                "if the program has a TLS library of its own, report it with its name and version"
            }
            Self::ProcessGone => {
                "none is needed if the program is heard when it runs next; else report it"
            }
            Self::RecordsLost => "raise ring_bytes in the configuration",
            Self::Unknown => "none is known",
        }
    }
}
