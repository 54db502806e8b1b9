//! Finds credentials and sessions in the wrong hands: used by two workloads, outside the pod they are bound to, or by a
//! process whose program was replaced.
//!
//! What a proxy passes on unchanged is its client's; gateways that are configured may use what they are given. Each case
//! is told once. Bound: [`KNOWN`] credentials, sessions and processes each; beyond it the oldest are forgotten.

use std::{collections::VecDeque, sync::Arc};

use super::{
    certificate::Certificate,
    credential::Credential,
    finding::{Finding, FindingKind, Use},
};
use crate::{audit::Process, key::ProcessKey, memory::Memory};

/// Credentials, sessions, processes and told cases remembered, each.
const KNOWN: usize = 16_384;

/// Programs that may use what their clients gave them.
#[derive(Clone, Debug, Default)]
pub struct Gateways {
    /// Paths of executables.
    pub executables: Vec<String>,
    /// Names of images, without their tag.
    pub images: Vec<String>,
}

/// What one end of an interaction did.
pub struct Conduct<'a> {
    /// The interaction and the process.
    pub by: Use,
    /// The credential it showed.
    pub credential: Option<&'a Credential>,
    /// The certificate it showed on this connection: its own, whatever it passes on.
    pub certificate: Option<&'a Certificate>,
    /// Keyed hash of the session id it named.
    pub session: Option<&'a Arc<str>>,
    /// Whether it only passed on what its own client said.
    pub is_passed_on: bool,
}

/// Remembers who used what.
#[derive(Debug, Default)]
pub struct Hijacks {
    gateways: Gateways,
    credentials: Memory<Arc<str>, Use, KNOWN>,
    sessions: Memory<Arc<str>, Use, KNOWN>,
    /// Processes that served a session: a proxy names to its own server what its client named to it.
    served: Memory<(Arc<str>, ProcessKey), (), KNOWN>,
    programs: Memory<ProcessKey, Use, KNOWN>,
    told: Memory<(FindingKind, Option<Arc<str>>, ProcessKey), (), KNOWN>,
    found: VecDeque<Finding>,
}

impl Hijacks {
    /// Takes the programs that are exempt.
    pub fn set_gateways(&mut self, gateways: Gateways) {
        self.gateways = gateways;
    }

    /// Takes what a client did.
    pub fn handle_client(&mut self, conduct: Conduct<'_>) {
        self.handle_program(&conduct.by);
        if self.is_gateway(&conduct.by.process) {
            return;
        }
        if let Some(certificate) = conduct.certificate {
            let _ = self.handle_secret(&certificate.hash, &conduct.by);
        }
        if conduct.is_passed_on {
            return;
        }
        if let Some(credential) = conduct.credential {
            let hash = &credential.hash;
            let other = self.handle_secret(hash, &conduct.by);
            let is_misplaced = |what: &&str| what.starts_with("token_of_another_");
            let told = conduct.by.identity.as_ref();
            if told.is_some_and(|one| one.contradictions.iter().any(is_misplaced)) {
                self.tell(FindingKind::MisplacedToken, Some(hash), other, &conduct.by);
            }
        }
        if let Some(session) = conduct.session {
            self.handle_session(session, conduct.by);
        }
    }

    /// Takes what proves its bearer; gives another workload that used it before.
    fn handle_secret(&mut self, hash: &Arc<str>, by: &Use) -> Option<Use> {
        let first = self.credentials.get(hash).cloned();
        if first.is_none() {
            self.credentials.insert(Arc::clone(hash), by.clone());
        }
        let other = first.filter(|first| is_other_workload(&first.process, &by.process));
        if other.is_some() {
            self.tell(FindingKind::SharedCredential, Some(hash), other.clone(), by);
        }
        other
    }

    fn handle_session(&mut self, session: &Arc<str>, by: Use) {
        let served = |process: &Process| {
            let key = (Arc::clone(session), process.key);
            self.served.get(&key).is_some()
        };
        match self.sessions.get(session).cloned() {
            None => self.sessions.insert(Arc::clone(session), by),
            Some(first) if !is_stranger(&first.process, &by.process) => {}
            Some(_) if served(&by.process) => {}
            // A proxy was told before its client.
            Some(first) if served(&first.process) => {
                self.sessions.insert(Arc::clone(session), by);
            }
            Some(first) => {
                self.tell(
                    FindingKind::HijackedSession,
                    Some(session),
                    Some(first),
                    &by,
                );
            }
        }
    }

    /// Takes what a server did, and the session it did it in.
    pub fn handle_server(&mut self, by: &Use, session: Option<&Arc<str>>) {
        self.handle_program(by);
        if let Some(session) = session {
            let served = (Arc::clone(session), by.process.key);
            self.served.insert(served, ());
        }
    }

    /// The next finding; `None` until there is more input.
    #[must_use]
    pub fn poll(&mut self) -> Option<Finding> {
        self.found.pop_front()
    }

    fn handle_program(&mut self, by: &Use) {
        let key = by.process.key;
        let Some(hash) = by.process.exe_sha256 else {
            return;
        };
        match self.programs.get(&key).cloned() {
            None => self.programs.insert(key, by.clone()),
            Some(known) if known.process.exe_sha256 != Some(hash) => {
                // Events do not come in order.
                let (first, second) = if known.time <= by.time {
                    (&known, by)
                } else {
                    (by, &known)
                };
                self.tell(
                    FindingKind::ReplacedProgram,
                    None,
                    Some(first.clone()),
                    second,
                );
            }
            Some(_) => {}
        }
    }

    fn tell(
        &mut self,
        kind: FindingKind,
        secret: Option<&Arc<str>>,
        first: Option<Use>,
        second: &Use,
    ) {
        let case = (kind, secret.cloned(), second.process.key);
        if self.told.get(&case).is_some() {
            return;
        }
        self.told.insert(case, ());
        self.found.push_back(Finding {
            kind,
            secret: secret.cloned(),
            first,
            second: second.clone(),
            policies: Vec::new(),
        });
    }

    fn is_gateway(&self, process: &Process) -> bool {
        let exe = process.exe.as_ref();
        let workload = process.workload.as_deref();
        let image = workload
            .and_then(|one| one.container.as_ref())
            .and_then(|one| one.image.as_deref())
            .map(untagged);
        exe.is_some_and(|exe| self.gateways.executables.contains(exe))
            || image.is_some_and(|image| self.gateways.images.iter().any(|one| one == image))
    }
}

/// The name of an image without its tag or digest.
fn untagged(image: &str) -> &str {
    let image = image.split('@').next().unwrap_or(image);
    match image.rsplit_once(':') {
        // A port of a registry is followed by a path.
        Some((name, tag)) if !tag.contains('/') => name,
        _ => image,
    }
}

/// Whether two processes are known to be of different workloads. Where too little is known they are not.
fn is_other_workload(one: &Process, other: &Process) -> bool {
    if one.key == other.key {
        return false;
    }
    let pod = |process: &Process| {
        let workload = process.workload.as_deref()?;
        workload.pod.as_ref().map(|pod| pod.uid.clone())
    };
    if let (Some(one), Some(other)) = (pod(one), pod(other)) {
        return one != other;
    }
    match (&one.container, &other.container) {
        (Some(one), Some(other)) => return one != other,
        (None, None) => {}
        _ => return one.cgroup.is_some() && other.cgroup.is_some(),
    }
    match (one.exe_sha256, other.exe_sha256) {
        (Some(one), Some(other)) => one != other,
        _ => matches!((&one.exe, &other.exe), (Some(one), Some(other)) if one != other),
    }
}

/// Whether a process is neither another nor descends from it, the other way round included.
fn is_stranger(one: &Process, other: &Process) -> bool {
    let descends = |child: &Process, from: &Process| {
        let mut lineage = child.lineage.iter();
        lineage.any(|ancestor| ancestor.key == from.key)
    };
    one.key != other.key && !descends(one, other) && !descends(other, one)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{authority::Standing, credential::Scheme, grade::Identity, verify::Verdict},
        *,
    };
    use crate::audit::{Ancestor, Container, Workload};
    use crate::{key::Time, mcp::InteractionId};

    fn process(pid: u32) -> Process {
        Process {
            key: ProcessKey { pid, start: 1 },
            exe: Some(format!("/bin/{pid}")),
            exe_sha256: Some([pid as u8; 32]),
            cgroup: Some("/".into()),
            ..Process::default()
        }
    }

    fn by(process: Process) -> Use {
        Use {
            time: Time(0),
            interaction: InteractionId(u64::from(process.key.pid)),
            identity: Identity::of(Some(&process), None, None, false),
            process: Arc::new(process),
        }
    }

    fn credential() -> Credential {
        Credential {
            scheme: Scheme::Bearer,
            hash: "h".into(),
            claims: None,
            verdict: Verdict::NotProvable,
        }
    }

    fn connects(hijacks: &mut Hijacks, process: Process) {
        let certificate = Certificate {
            hash: "c".into(),
            subject: None,
            issuer: None,
            serial: None,
            spiffe_id: None,
            dns_names: Vec::new(),
            not_before: None,
            not_after: None,
            standing: Standing::UnknownAuthority,
            name: None,
        };
        hijacks.handle_client(Conduct {
            by: by(process),
            credential: None,
            certificate: Some(&certificate),
            session: None,
            is_passed_on: true,
        });
    }

    fn shows(hijacks: &mut Hijacks, process: Process) {
        hijacks.handle_client(Conduct {
            by: by(process),
            credential: Some(&credential()),
            certificate: None,
            session: None,
            is_passed_on: false,
        });
    }

    fn names(hijacks: &mut Hijacks, process: Process, session: &Arc<str>) {
        hijacks.handle_client(Conduct {
            by: by(process),
            credential: None,
            certificate: None,
            session: Some(session),
            is_passed_on: false,
        });
    }

    fn found(hijacks: &mut Hijacks) -> Vec<FindingKind> {
        std::iter::from_fn(|| hijacks.poll())
            .map(|finding| finding.kind)
            .collect()
    }

    #[test]
    fn a_certificate_that_two_workloads_connect_with_is_told_once() {
        let mut hijacks = Hijacks::default();
        connects(&mut hijacks, process(1));
        connects(&mut hijacks, process(1));
        assert!(hijacks.poll().is_none());
        let other = Process {
            exe: Some("/usr/bin/thief".into()),
            exe_sha256: Some([9; 32]),
            container: Some("thief".into()),
            ..process(2)
        };
        connects(&mut hijacks, other.clone());
        connects(&mut hijacks, other);
        let found = hijacks.poll().unwrap();
        assert_eq!(found.kind, FindingKind::SharedCredential);
        assert_eq!(found.secret.as_deref(), Some("c"));
        assert_eq!(found.first.unwrap().process.key.pid, 1);
        assert!(hijacks.poll().is_none());
    }

    #[test]
    fn a_credential_of_two_workloads_is_told_once() {
        let mut hijacks = Hijacks::default();
        shows(&mut hijacks, process(1));
        shows(&mut hijacks, process(1));
        assert!(found(&mut hijacks).is_empty());
        shows(&mut hijacks, process(2));
        shows(&mut hijacks, process(2));
        let finding = hijacks.poll().unwrap();
        assert_eq!(finding.kind, FindingKind::SharedCredential);
        assert_eq!(finding.first.unwrap().interaction, InteractionId(1));
        assert_eq!(finding.second.interaction, InteractionId(2));
        assert!(hijacks.poll().is_none());
    }

    #[test]
    fn processes_of_one_container_share_a_credential_and_of_two_do_not() {
        let inside = |pid, id: &str| Process {
            container: Some(id.into()),
            ..process(pid)
        };
        let mut hijacks = Hijacks::default();
        shows(&mut hijacks, inside(1, "a"));
        shows(&mut hijacks, inside(2, "a"));
        assert!(found(&mut hijacks).is_empty());
        shows(&mut hijacks, inside(3, "b"));
        shows(&mut hijacks, process(4));
        assert_eq!(found(&mut hijacks), [FindingKind::SharedCredential; 2]);
    }

    #[test]
    fn proxies_and_configured_gateways_may_use_what_they_are_given() {
        let mut hijacks = Hijacks::default();
        hijacks.set_gateways(Gateways {
            executables: vec!["/bin/3".into()],
            images: vec!["registry:5000/gateway".into()],
        });
        shows(&mut hijacks, process(1));
        hijacks.handle_client(Conduct {
            by: by(process(2)),
            credential: Some(&credential()),
            certificate: None,
            session: None,
            is_passed_on: true,
        });
        shows(&mut hijacks, process(3));
        let container = Container {
            image: Some("registry:5000/gateway:1.2".into()),
            ..Container::default()
        };
        let workload = Workload {
            container: Some(container),
            ..Workload::default()
        };
        let process = Process {
            workload: Some(Arc::new(workload)),
            ..process(4)
        };
        shows(&mut hijacks, process);
        assert!(found(&mut hijacks).is_empty());
    }

    #[test]
    fn a_session_belongs_to_the_process_that_named_it_first_and_its_children() {
        let session: Arc<str> = "s".into();
        let mut hijacks = Hijacks::default();
        names(&mut hijacks, process(1), &session);
        let mut child = process(2);
        child.lineage.push(Ancestor {
            key: process(1).key,
            exe: None,
        });
        names(&mut hijacks, child, &session);
        assert!(found(&mut hijacks).is_empty());
        // The same program, yet another process.
        let other = Process {
            exe_sha256: process(1).exe_sha256,
            ..process(3)
        };
        names(&mut hijacks, other, &session);
        assert_eq!(found(&mut hijacks), [FindingKind::HijackedSession]);
    }

    #[test]
    fn a_proxy_names_the_sessions_of_its_clients_whichever_is_told_first() {
        let session: Arc<str> = "s".into();
        let (agent, proxy) = (process(1), process(2));
        for proxy_first in [true, false] {
            let mut hijacks = Hijacks::default();
            if proxy_first {
                names(&mut hijacks, proxy.clone(), &session);
            }
            hijacks.handle_server(&by(proxy.clone()), Some(&session));
            names(&mut hijacks, agent.clone(), &session);
            names(&mut hijacks, proxy.clone(), &session);
            assert!(found(&mut hijacks).is_empty());
            names(&mut hijacks, process(3), &session);
            assert_eq!(found(&mut hijacks), [FindingKind::HijackedSession]);
        }
    }

    #[test]
    fn a_process_that_runs_another_program_is_told() {
        let mut hijacks = Hijacks::default();
        hijacks.handle_server(&by(process(1)), None);
        let unknown = Process {
            exe_sha256: None,
            ..process(1)
        };
        hijacks.handle_server(&by(unknown), None);
        assert!(found(&mut hijacks).is_empty());
        let other = Process {
            exe_sha256: Some([9; 32]),
            ..process(1)
        };
        hijacks.handle_server(&by(other), None);
        assert_eq!(found(&mut hijacks), [FindingKind::ReplacedProgram]);
    }
}
