//! Where the host stands, how well its clock keeps time, and whether kernel and auditor are as they were installed.
//!
//! Values, gathered by the caller. Every event holds them, so they are written once for each change.

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::hex::Hex;
use crate::key::Time;

/// The environment of the auditor. Unknown is `None`, never guessed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Environment {
    /// The cloud that the host is in.
    pub cloud: Option<Cloud>,
    /// The cloud's id of the host.
    pub instance: Option<String>,
    /// The cluster that the host is in.
    pub cluster: Option<String>,
    /// The host's name in the cluster.
    pub node: Option<String>,
    /// Release of the kernel.
    pub kernel: Option<String>,
    /// The host's clock.
    pub clock: HostClock,
    /// What the kernel and the auditor are protected by, and whether they are as they should be.
    pub posture: Posture,
}

/// A place in a cloud.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Cloud {
    /// Who runs it: `AWS`, `Azure`, `GCP` ...
    pub provider: String,
    /// The region.
    pub region: Option<String>,
    /// The account, project or subscription.
    pub account: Option<String>,
    /// The zone within the region.
    pub zone: Option<String>,
}

/// How well the clock of the host keeps the world's time, by its kernel.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct HostClock {
    /// Whether something keeps it synchronized.
    pub is_synchronized: Option<bool>,
    /// What it still has to be moved by, in nanoseconds.
    pub offset: Option<i64>,
    /// What it may be wrong by at most, in nanoseconds.
    pub max_error: Option<u64>,
    /// What the kernel counts time by (`tsc`).
    pub source: Option<String>,
    /// By how many nanoseconds it was last set, and when; only steps count, no slow adjustment.
    pub last_step: Option<(i64, Time)>,
}

/// What the kernel and the auditor are protected by, and whether they are as they should be.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Posture {
    /// How far root is kept from changing the kernel: `none`, `integrity`, `confidentiality`.
    pub lockdown: Option<String>,
    /// Whether the firmware started only what is signed; `None` without UEFI.
    pub is_secure_boot: Option<bool>,
    /// The security modules that are active.
    pub lsm: Option<Vec<String>>,
    /// The kernel's flags of what it was tainted by; 0 for nothing.
    pub kernel_tainted: Option<u64>,
    /// SHA-256 of the auditor's executable.
    pub binary_sha256: Option<[u8; 32]>,
    /// Whether that is the one that was installed.
    pub binary: Integrity,
    /// Whether the programs in the kernel are those that the auditor loaded, and attached.
    pub probes: Integrity,
}

/// Whether something is as it should be.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Integrity {
    /// It is.
    Expected,
    /// It is not.
    Unexpected,
    /// There is nothing to compare it with.
    #[default]
    Unknown,
}

impl Integrity {
    /// Its name in events.
    pub fn code(self) -> &'static str {
        match self {
            Self::Expected => "expected",
            Self::Unexpected => "unexpected",
            Self::Unknown => "unknown",
        }
    }
}

/// An environment as events show it.
#[derive(Clone, Debug)]
pub(super) struct Rendered {
    /// `unmapped.mcp.environment`.
    pub(super) mcp: Box<RawValue>,
    /// OCSF `cloud`.
    pub(super) cloud: Option<Box<RawValue>>,
    pub(super) region: Option<String>,
    pub(super) instance: Option<String>,
    pub(super) facts: Facts,
}

/// What policies may ask of an environment.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub(super) cluster: Option<String>,
    pub(super) node: Option<String>,
    pub(super) cloud: Option<String>,
    pub(super) lockdown: Option<String>,
    pub(super) is_secure_boot: Option<bool>,
}

impl Rendered {
    /// `None` when it cannot be written, which does not happen.
    pub(super) fn of(environment: &Environment) -> Option<Self> {
        let cloud = environment.cloud.as_ref();
        let view = cloud.map(|cloud| CloudView {
            provider: &cloud.provider,
            region: cloud.region.as_deref(),
            account: cloud.account.as_deref().map(|uid| Account { uid }),
            zone: cloud.zone.as_deref(),
        });
        Some(Self {
            mcp: to_raw_value(&View::of(environment)).ok()?,
            cloud: view.map(|view| to_raw_value(&view)).transpose().ok()?,
            region: cloud.and_then(|cloud| cloud.region.clone()),
            instance: environment.instance.clone(),
            facts: Facts {
                cluster: environment.cluster.clone(),
                node: environment.node.clone(),
                cloud: cloud.map(|cloud| cloud.provider.clone()),
                lockdown: environment.posture.lockdown.clone(),
                is_secure_boot: environment.posture.is_secure_boot,
            },
        })
    }
}

#[derive(Serialize)]
struct CloudView<'a> {
    provider: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<Account<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    zone: Option<&'a str>,
}

#[derive(Serialize)]
struct Account<'a> {
    uid: &'a str,
}

#[derive(Serialize)]
struct View<'a> {
    cluster: Option<&'a str>,
    node: Option<&'a str>,
    kernel: Option<&'a str>,
    clock: ClockView<'a>,
    posture: PostureView<'a>,
}

#[derive(Serialize)]
struct ClockView<'a> {
    synchronized: Option<bool>,
    offset_ns: Option<i64>,
    max_error_ns: Option<u64>,
    source: Option<&'a str>,
    last_step_ns: Option<i64>,
    last_step_time: Option<u64>,
}

#[derive(Serialize)]
struct PostureView<'a> {
    lockdown: Option<&'a str>,
    secure_boot: Option<bool>,
    lsm: Option<&'a [String]>,
    kernel_tainted: Option<u64>,
    auditor: AuditorView,
}

#[derive(Serialize)]
struct AuditorView {
    binary_sha256: Option<Hex>,
    binary: &'static str,
    probes: &'static str,
}

impl<'a> View<'a> {
    fn of(environment: &'a Environment) -> Self {
        let (clock, posture) = (&environment.clock, &environment.posture);
        Self {
            cluster: environment.cluster.as_deref(),
            node: environment.node.as_deref(),
            kernel: environment.kernel.as_deref(),
            clock: ClockView {
                synchronized: clock.is_synchronized,
                offset_ns: clock.offset,
                max_error_ns: clock.max_error,
                source: clock.source.as_deref(),
                last_step_ns: clock.last_step.map(|(step, _)| step),
                last_step_time: clock.last_step.map(|(_, time)| time.millis()),
            },
            posture: PostureView {
                lockdown: posture.lockdown.as_deref(),
                secure_boot: posture.is_secure_boot,
                lsm: posture.lsm.as_deref(),
                kernel_tainted: posture.kernel_tainted,
                auditor: AuditorView {
                    binary_sha256: posture.binary_sha256.map(Hex),
                    binary: posture.binary.code(),
                    probes: posture.probes.code(),
                },
            },
        }
    }
}
