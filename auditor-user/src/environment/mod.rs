//! Where this host stands, how well its clock keeps time, and whether kernel and auditor are as they were installed.
//!
//! Looked at once a second on a thread of its own, so that no event waits for it; changes nothing. Bound: what was not
//! taken yet is replaced by what is newer.

mod binary;
mod clock;
mod machine;
mod metadata;

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex, PoisonError, mpsc::Receiver},
    thread,
    time::Duration,
};

use auditor_core::audit::{Cloud, Environment, Integrity};
use nix::sys::utsname::uname;

pub(crate) use self::binary::parse as parse_sha256;
use self::{binary::Binary, clock::Watch, metadata::Place};
use crate::{config, probe::Guard};

/// Time between looks.
const LOOK: Duration = Duration::from_secs(1);
/// Looks after which the executable and the programs in the kernel are looked at again.
const RARELY: u64 = 60;

/// What is known of the environment, by a thread that keeps looking.
pub(crate) struct Watcher(Arc<Mutex<Option<Environment>>>);

impl Watcher {
    /// Looks once, and starts the thread; `guard` knows what was loaded into the kernel.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub(crate) fn start(config: &config::Environment, guard: Guard) -> io::Result<Self> {
        let mut look = Look::new(config, Some(guard))?;
        let mut last = look.now();
        let shared = Arc::new(Mutex::new(Some(last.clone())));
        let teller = Arc::downgrade(&shared);
        thread::Builder::new()
            .name("environment".to_owned())
            .spawn(move || {
                loop {
                    thread::sleep(LOOK);
                    let now = look.now();
                    // Nobody is left who wants to know.
                    let Some(shared) = teller.upgrade() else {
                        return;
                    };
                    if now != last {
                        last.clone_from(&now);
                        *shared.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
                    }
                }
            })?;
        Ok(Self(shared))
    }

    /// The environment, if it has changed since the last call.
    pub(crate) fn take(&self) -> Option<Environment> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The environment as far as it shows without anything being loaded, or asked of a network.
pub(crate) fn examine(config: &config::Environment) -> Environment {
    let config = config::Environment {
        instance_metadata: None,
        ..config.clone()
    };
    // No thread is started without a service to ask.
    Look::new(&config, None).map_or_else(|_| Environment::default(), |mut look| look.now())
}

/// Looks at the environment again and again.
struct Look {
    config: config::Environment,
    kernel: Option<String>,
    provider: Option<&'static str>,
    place: Option<Place>,
    asked: Option<Receiver<Place>>,
    clock: Watch,
    binary: Binary,
    guard: Option<Guard>,
    looks: u64,
    found: (Option<[u8; 32]>, Integrity, Integrity),
}

impl Look {
    fn new(config: &config::Environment, guard: Option<Guard>) -> io::Result<Self> {
        let address = config.instance_metadata_address();
        let asked = config.instance_metadata.zip(address);
        Ok(Self {
            kernel: uname()
                .ok()
                .map(|name| name.release().to_string_lossy().into_owned()),
            provider: machine::provider(Path::new("/")),
            place: None,
            asked: asked
                .map(|(service, address)| metadata::start(service, address))
                .transpose()?,
            clock: Watch::default(),
            binary: Binary::of_auditor(config.expected_sha256.as_deref()),
            guard,
            looks: 0,
            found: Default::default(),
            config: config.clone(),
        })
    }

    fn now(&mut self) -> Environment {
        if let Some(place) = self.asked.as_ref().and_then(|asked| asked.try_recv().ok()) {
            self.place = Some(place);
            self.asked = None;
        }
        if self.looks.is_multiple_of(RARELY) {
            self.look_rarely();
        }
        self.looks += 1;
        let mut posture = machine::posture(Path::new("/"));
        (posture.binary_sha256, posture.binary, posture.probes) = self.found;
        Environment {
            cloud: self.cloud(),
            instance: self.place.as_ref().and_then(|place| place.instance.clone()),
            cluster: self.config.cluster.clone(),
            node: self.config.node.clone(),
            kernel: self.kernel.clone(),
            clock: self.clock.read(),
            posture,
        }
    }

    /// Looks at what may have been tampered with.
    fn look_rarely(&mut self) {
        let (hash, binary) = self.binary.check();
        let probes = self.guard.as_ref().map_or(Integrity::Unknown, Guard::check);
        let (_, binary_before, probes_before) = self.found;
        if binary == Integrity::Unexpected && binary_before != binary {
            tracing::warn!("the auditor's executable is not the one that is expected");
        }
        if probes == Integrity::Unexpected && probes_before != probes {
            tracing::warn!(
                "programs that the auditor loaded into the kernel were detached, removed or replaced: \
                 what it hears is not whole"
            );
        }
        self.found = (hash, binary, probes);
    }

    /// What is configured, else what the cloud's service said, else what the firmware says.
    fn cloud(&self) -> Option<Cloud> {
        let told = self.place.as_ref().map(|place| &place.cloud);
        let or = |configured: &Option<String>, told: Option<&String>| {
            configured.clone().or_else(|| told.cloned())
        };
        let provider = or(&self.config.provider, told.map(|told| &told.provider));
        Some(Cloud {
            provider: provider.or_else(|| self.provider.map(str::to_owned))?,
            region: or(
                &self.config.region,
                told.and_then(|told| told.region.as_ref()),
            ),
            account: or(
                &self.config.account,
                told.and_then(|told| told.account.as_ref()),
            ),
            zone: or(&self.config.zone, told.and_then(|told| told.zone.as_ref())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_configured_counts_before_what_is_found() {
        let config = config::Environment {
            provider: Some("on-premises".into()),
            zone: Some("rack-3".into()),
            cluster: Some("shop".into()),
            ..config::Environment::default()
        };
        let mut look = Look::new(&config, None).unwrap();
        look.place = Some(Place {
            cloud: Cloud {
                provider: "AWS".into(),
                region: Some("eu-west-1".into()),
                ..Cloud::default()
            },
            instance: Some("i-1".into()),
        });
        let told = look.now();
        let due = Cloud {
            provider: "on-premises".into(),
            region: Some("eu-west-1".into()),
            account: None,
            zone: Some("rack-3".into()),
        };
        assert_eq!((told.cloud, told.instance), (Some(due), Some("i-1".into())));
        assert_eq!(told.cluster.as_deref(), Some("shop"));
        assert!(told.posture.binary_sha256.is_some());
        assert_eq!(told.posture.probes, Integrity::Unknown);
    }
}
