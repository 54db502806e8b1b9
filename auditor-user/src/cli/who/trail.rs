//! What the trail says of a workload, an event and its chain. Reads the file from its beginning, a line at a time.
//!
//! Bounds: [`LINE`] bytes of a line, [`PEOPLE`] workloads, [`CREDENTIALS`] of each, [`STEPS`] of a chain; what is beyond is
//! counted or left out, and said to be.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read as _},
    path::Path,
};

use serde::{Deserialize, Serialize};

use super::{
    query::Query,
    subject::{Credential, Identity, Subject},
};

/// Longest line that is read; events with bodies of more are left out.
const LINE: u64 = 64 << 20;
const PEOPLE: usize = 256;
const CREDENTIALS: usize = 8;
const STEPS: usize = 1_024;

/// A workload, with what it did.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Person {
    pub(super) subject: Subject,
    /// The best identity that was established, the latest where several are as good.
    pub(super) identity: Option<Identity>,
    /// What it showed, the latest last.
    pub(super) credentials: Vec<Credential>,
    pub(super) is_running: bool,
    pub(super) events_as_client: u64,
    pub(super) events_as_server: u64,
    /// When it was heard first and last, milliseconds since the Unix epoch.
    pub(super) first_heard: Option<u64>,
    pub(super) last_heard: Option<u64>,
    /// `metadata.uid` of its last event.
    pub(super) last_event: Option<String>,
    /// Titles of the findings that it is involved in, with their `metadata.uid`.
    pub(super) findings: Vec<(String, String)>,
}

/// An event of a chain.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Step {
    pub(super) uid: String,
    pub(super) parent: Option<String>,
    pub(super) depth: u8,
    pub(super) basis: String,
    pub(super) certainty: Option<String>,
    pub(super) time: u64,
    pub(super) client: String,
    pub(super) server: String,
    pub(super) method: String,
    pub(super) target: Option<String>,
    pub(super) status: Option<String>,
}

/// What was found.
#[derive(Debug, Default, Serialize)]
pub(super) struct Found {
    pub(super) people: Vec<Person>,
    /// The chain of the event that was asked for, by time.
    pub(super) chain: Vec<Step>,
    /// Title of the finding that was asked for.
    pub(super) finding: Option<String>,
    /// Workloads and steps beyond the bounds.
    pub(super) left_out: u64,
}

/// A line of the trail, as far as it matters here.
#[derive(Deserialize)]
struct Line {
    metadata: Metadata,
    time: u64,
    status_code: Option<String>,
    finding_info: Option<FindingInfo>,
    unmapped: Unmapped,
}

#[derive(Deserialize)]
struct Metadata {
    uid: String,
}

#[derive(Deserialize)]
struct FindingInfo {
    title: String,
}

#[derive(Deserialize)]
struct Unmapped {
    mcp: Mcp,
}

#[derive(Deserialize)]
struct Mcp {
    stage: String,
    method: Option<String>,
    target: Option<String>,
    client: Option<Subject>,
    server: Option<Subject>,
    #[serde(default)]
    identity: Identities,
    credential: Option<Credential>,
    chain: Option<Chain>,
    /// Of findings: who is involved.
    first: Option<Involved>,
    second: Option<Involved>,
}

#[derive(Default, Deserialize)]
struct Identities {
    client: Option<Identity>,
    server: Option<Identity>,
}

#[derive(Deserialize)]
struct Chain {
    id: String,
    parent: Option<String>,
    depth: u8,
    basis: String,
    certainty: Option<String>,
}

#[derive(Deserialize)]
struct Involved {
    event: String,
    pid: u32,
    start_time: u64,
}

/// Reads what the trail says of what is asked for.
///
/// # Errors
/// When the file cannot be read.
pub(super) fn read(path: &Path, query: &Query) -> io::Result<Found> {
    let mut found = Found::default();
    let Query::Event(uid) = query else {
        each_line(path, &query.needle(), |line| found.note(line, query))?;
        return Ok(found);
    };
    let (mut chain, mut events) = (None, Vec::new());
    each_line(path, &query.needle(), |line| {
        if line.metadata.uid == *uid {
            found.finding = line.finding_info.as_ref().map(|info| info.title.clone());
            let involved = [&line.unmapped.mcp.first, &line.unmapped.mcp.second];
            events = involved
                .into_iter()
                .flatten()
                .map(|one| one.event.clone())
                .collect();
            chain = line
                .unmapped
                .mcp
                .chain
                .as_ref()
                .map(|chain| chain.id.clone());
            found.take_sides(&line);
        }
    })?;
    for event in events {
        each_line(path, &format!("\"{event}\""), |line| {
            if line.metadata.uid == event {
                found.take_sides(&line);
            }
        })?;
    }
    if let Some(chain) = chain {
        each_line(path, &format!("\"{chain}\""), |line| {
            found.take_step(&line, &chain)
        })?;
        found.chain.sort_by_key(|step| step.time);
    }
    Ok(found)
}

impl Found {
    /// Takes what a line says of the workloads that were asked for.
    fn note(&mut self, line: Line, query: &Query) {
        let mcp = &line.unmapped.mcp;
        if let Some(info) = &line.finding_info {
            let involved = [&mcp.first, &mcp.second].into_iter().flatten();
            for one in involved {
                let known = self.people.iter_mut().find(|person| {
                    (person.subject.pid, person.subject.start_time) == (one.pid, one.start_time)
                });
                if let Some(known) = known {
                    known
                        .findings
                        .push((info.title.clone(), line.metadata.uid.clone()));
                }
            }
            return;
        }
        let is = |side: &Option<Subject>| side.as_ref().is_some_and(|side| query.is(side));
        let (client, server) = (is(&mcp.client), is(&mcp.server));
        if client || server {
            self.take(&line, client, server);
        }
    }

    /// Takes both sides of an event.
    fn take_sides(&mut self, line: &Line) {
        self.take(line, true, true);
    }

    fn take(&mut self, line: &Line, is_client: bool, is_server: bool) {
        let mcp = &line.unmapped.mcp;
        // An open interaction is told again when it is over.
        let count = u64::from(mcp.stage == "final");
        if let Some(subject) = mcp.client.as_ref().filter(|_| is_client)
            && let Some(person) = self.person(subject)
        {
            person.note(line, subject, &mcp.identity.client);
            person.events_as_client += count;
            if let Some(credential) = &mcp.credential {
                person.credentials.retain(|one| one.hash != credential.hash);
                person.credentials.push(credential.clone());
                let excess = person.credentials.len().saturating_sub(CREDENTIALS);
                person.credentials.drain(..excess);
            }
        }
        if let Some(subject) = mcp.server.as_ref().filter(|_| is_server)
            && let Some(person) = self.person(subject)
        {
            person.note(line, subject, &mcp.identity.server);
            person.events_as_server += count;
        }
    }

    /// The workload that a subject is; `None` where there is no room.
    fn person(&mut self, subject: &Subject) -> Option<&mut Person> {
        let key = (subject.pid, subject.start_time);
        let known = self
            .people
            .iter()
            .position(|person| (person.subject.pid, person.subject.start_time) == key);
        let index = match known {
            Some(index) => index,
            None if self.people.len() >= PEOPLE => {
                self.left_out += 1;
                return None;
            }
            None => {
                self.people.push(Person::default());
                self.people.len() - 1
            }
        };
        self.people.get_mut(index)
    }

    fn take_step(&mut self, line: &Line, id: &str) {
        let mcp = &line.unmapped.mcp;
        let Some(chain) = mcp.chain.as_ref().filter(|chain| chain.id == id) else {
            return;
        };
        let step = Step {
            uid: line.metadata.uid.clone(),
            parent: chain.parent.clone(),
            depth: chain.depth,
            basis: chain.basis.clone(),
            certainty: chain.certainty.clone(),
            time: line.time,
            client: name(&mcp.client),
            server: name(&mcp.server),
            method: mcp.method.clone().unwrap_or_default(),
            target: mcp.target.clone(),
            status: line.status_code.clone(),
        };
        // An interaction that was told while it was open is told again when it is over.
        if let Some(known) = self.chain.iter_mut().find(|known| known.uid == step.uid) {
            *known = step;
        } else if self.chain.len() >= STEPS {
            self.left_out += 1;
        } else {
            self.chain.push(step);
        }
    }
}

impl Person {
    fn note(&mut self, line: &Line, subject: &Subject, identity: &Option<Identity>) {
        self.subject = subject.clone();
        if let Some(identity) = identity {
            let before = self.identity.as_ref().map(|one| one.assurance.as_str());
            if before.is_none_or(|before| before <= identity.assurance.as_str()) {
                self.identity = Some(identity.clone());
            }
        }
        self.first_heard.get_or_insert(line.time);
        self.last_heard = Some(line.time);
        self.last_event = Some(line.metadata.uid.clone());
    }
}

/// Program and pid of a side.
fn name(side: &Option<Subject>) -> String {
    side.as_ref().map_or("?".to_owned(), |side| {
        let exe = side.exe.as_deref().and_then(|exe| exe.rsplit('/').next());
        format!("{}[{}]", exe.unwrap_or("?"), side.pid)
    })
}

/// Gives every line of the file that holds `needle` and is understood.
fn each_line(path: &Path, needle: &str, mut take: impl FnMut(Line)) -> io::Result<()> {
    let mut file = BufReader::with_capacity(1 << 20, File::open(path)?);
    let finder = memchr::memmem::Finder::new(needle);
    let mut line = Vec::new();
    loop {
        line.clear();
        if (&mut file).take(LINE).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        if finder.find(&line).is_some()
            && let Ok(line) = serde_json::from_slice(&line)
        {
            take(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::{Value, json};

    use super::*;

    fn event(number: u32, parent: Option<u32>, client: Value, server: Value) -> String {
        let uid = |number| format!("00000000-00000000-0000-{number}");
        json!({
            "metadata": {"uid": uid(number)}, "time": 1000 + number, "status_code": "ok",
            "unmapped": {"mcp": {
                "stage": "final", "method": "tools/call", "target": "query", "client": client, "server": server,
                "identity": {"client": {"subject": "agent", "method": "token", "assurance": "A3", "verified": true,
                    "evidence_sha256": "ab", "contradictions": []}, "server": null},
                "credential": {"scheme": "bearer", "hash": "h1", "verdict": "valid", "claims": null},
                "chain": {"id": uid(1), "parent": parent.map(uid), "depth": u8::from(parent.is_some()),
                    "basis": "open_request", "certainty": "only_candidate", "candidates": 1},
            }},
        })
        .to_string()
    }

    fn trail(name: &str, lines: &[String]) -> std::path::PathBuf {
        let path =
            std::env::temp_dir().join(format!("mcp-auditor-who-{name}-{}", std::process::id()));
        fs::write(&path, lines.join("\n")).unwrap();
        path
    }

    #[test]
    fn workloads_are_told_apart_by_the_start_of_their_process() {
        let side =
            |start: u64| json!({"pid": 7, "start_time": start, "exe": "/bin/a", "lineage": []});
        let lines = [
            event(1, None, side(1), json!({"pid": 8, "start_time": 5})),
            "not an event with \"pid\":7, in it".to_owned(),
            event(2, None, side(2), Value::Null),
            event(3, None, json!({"pid": 9, "start_time": 9}), side(2)),
        ];
        let path = trail("people", &lines);
        let found = read(&path, &Query::Pid(7)).unwrap();
        fs::remove_file(path).unwrap();
        let told: Vec<_> = found
            .people
            .iter()
            .map(|one| {
                (
                    one.subject.start_time,
                    one.events_as_client,
                    one.events_as_server,
                )
            })
            .collect();
        assert_eq!(told, [(1, 1, 0), (2, 1, 1)]);
        let last = found.people.last().unwrap();
        assert_eq!(last.identity.as_ref().unwrap().assurance, "A3");
        assert_eq!(last.credentials.len(), 1);
        assert_eq!(
            (last.first_heard, last.last_heard),
            (Some(1002), Some(1003))
        );
    }

    #[test]
    fn an_event_is_told_with_both_sides_and_its_chain() {
        let side = |pid: u32| json!({"pid": pid, "start_time": 1, "exe": "/bin/a"});
        let lines = [
            event(2, Some(1), side(2), side(3)),
            event(1, None, side(1), side(2)),
            event(4, None, side(5), side(6)),
        ];
        let path = trail("event", &lines);
        let found = read(&path, &Query::Event("00000000-00000000-0000-2".into())).unwrap();
        fs::remove_file(path).unwrap();
        let pids: Vec<_> = found.people.iter().map(|one| one.subject.pid).collect();
        assert_eq!(pids, [2, 3]);
        let steps: Vec<_> = found
            .chain
            .iter()
            .map(|step| (step.time, step.client.as_str()))
            .collect();
        // The fourth event is of the chain, too: its own id says so.
        assert_eq!(steps, [(1001, "a[1]"), (1002, "a[2]"), (1004, "a[5]")]);
        assert_eq!(
            found.chain[1].parent.as_deref(),
            Some("00000000-00000000-0000-1")
        );
    }

    #[test]
    fn a_line_without_end_is_read_up_to_its_bound_and_an_absent_file_is_told() {
        assert!(read(Path::new("/absent"), &Query::Pid(1)).is_err());
        let path = trail("cut", &["{\"pid\":7,".repeat(10)]);
        assert!(read(&path, &Query::Pid(7)).unwrap().people.is_empty());
        fs::remove_file(path).unwrap();
    }
}
