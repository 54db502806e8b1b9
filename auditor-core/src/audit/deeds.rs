//! Ties what server processes did to the calls that were open in them.
//!
//! A deed belongs to the calls that its process was answering at the time, or the nearest ancestor that was answering
//! any. Where one was open that is `only_candidate`, where several were, each names the others and nothing is flagged.
//! Bounds: [`PROCESSES`] processes, [`DEEDS`] deeds of one and [`ALL`] of all, [`ENTRIES`] of a kind in an event; the
//! oldest go first, and events say that something is missing.

use std::{
    collections::{HashMap, VecDeque},
    net::{IpAddr, SocketAddr},
};

use auditor_common::record::{Deed, Header, deed};

use super::{
    activity::{Access, Activity, Entry, Noticed, What, is_runtime},
    chain::{Basis, Certainty, Chains},
    event::AuditEvent,
    world::World,
};
use crate::{
    key::{Actor, ProcessKey, Side, Time},
    mcp::{Direction, Interaction, InteractionId, Kind, Stage},
    memory::Memory,
    record::Strings,
};

/// Processes whose deeds are remembered.
const PROCESSES: usize = 4_096;
/// Deeds remembered of one process.
const DEEDS: usize = 2_048;
/// Deeds remembered in all.
const ALL: usize = 65_536;
/// Things of one kind that an event lists.
const ENTRIES: usize = 64;
/// Other open calls that an event names.
const OTHERS: usize = 8;
/// Losses of one process that are remembered.
const LOSSES: usize = 16;
/// Processes of which it is remembered that they were told to be servers or not.
const ROLES: usize = 16_384;
/// Connections whose HTTP host and path are remembered.
const HEADS: usize = 4_096;
/// Nanoseconds within which lost records are noticed.
const NOTICE: u64 = 1_500_000_000;

/// Nanoseconds of a tick of `/proc`.
const TICK: u64 = 10_000_000;
const FMODE_WRITE: u32 = 2;
const FMODE_CREATED: u32 = 1 << 20;
const O_TRUNC: u64 = 0o1000;
const S_IFMT: u16 = 0o170_000;
const S_IFCHR: u16 = 0o020_000;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// Whether a process serves MCP.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// It does.
    Server,
    /// It only asks.
    Client,
}

/// What processes did.
#[derive(Debug, Default)]
pub(crate) struct Deeds {
    /// By rough keys, as all but the roles are here.
    acts: HashMap<ProcessKey, Acts>,
    /// Whose deeds are remembered, oldest deed first; with some who were forgotten.
    order: VecDeque<ProcessKey>,
    /// Processes in `acts`, by each of their ancestors.
    descendants: HashMap<ProcessKey, Vec<ProcessKey>>,
    roles: Memory<ProcessKey, Role, ROLES>,
    told: VecDeque<(ProcessKey, Role)>,
    heads: Memory<(ProcessKey, SocketAddr), (String, String), HEADS>,
    /// When records were last found to be lost.
    refused: Option<Time>,
}

/// What one process did.
#[derive(Debug, Default)]
struct Acts {
    /// Since when that is told.
    since: Option<Time>,
    /// Whether the kernel side said so, which it does as the process reads its first message.
    is_announced: bool,
    process: ProcessKey,
    ancestors: Vec<ProcessKey>,
    deeds: VecDeque<(Time, Done)>,
    /// When deeds were found to be missing, and how many.
    lost: VecDeque<(Time, u64)>,
}

#[derive(Clone, Debug)]
enum Done {
    /// A runtime read its own files.
    Runtime,
    What(What),
}

impl Deeds {
    /// Notes that a process is followed, or that some of its deeds were left out.
    pub(crate) fn handle_serving(&mut self, header: &Header, time: Time, world: &impl World) {
        let acts = self.acts(key(header), world);
        if header.lost != 0 {
            acts.lose(time, header.lost);
        } else {
            acts.since = acts.since.or(Some(time));
            acts.is_announced = true;
        }
    }

    /// Notes that a process which serves, or a descendant of one, runs another program.
    pub(crate) fn handle_program(
        &mut self,
        header: &Header,
        names: &Strings<'_>,
        time: Time,
        world: &impl World,
    ) {
        if header.flags & auditor_common::record::flag::SERVES == 0 {
            return;
        }
        let path = names.path().unwrap_or_default();
        self.add(key(header), time, Done::What(What::Program { path }), world);
    }

    /// Notes a deed.
    pub(crate) fn handle_deed(
        &mut self,
        header: &Header,
        deed: &Deed,
        names: &Strings<'_>,
        time: Time,
        world: &impl World,
    ) {
        let process = key(header);
        if header.lost != 0 {
            self.acts(process, world).lose(time, header.lost);
        }
        if let Some(done) = read(header.end, deed, names) {
            self.add(process, time, done, world);
        }
    }

    /// Notes that records were lost, deeds perhaps among them.
    pub(crate) fn handle_lost(&mut self, now: Time) {
        self.refused = Some(now);
    }

    /// The next process of which its role is known now.
    #[must_use]
    pub(crate) fn poll_role(&mut self) -> Option<(ProcessKey, Role)> {
        self.told.pop_front()
    }

    /// Notes who serves and who asks, and what went over HTTP.
    pub(super) fn note_ends(&mut self, event: &AuditEvent) {
        let interaction = &event.interaction;
        if matches!(interaction.kind, Kind::Gap | Kind::UnpairedResponse) {
            return;
        }
        for (party, role) in [(&event.server, Role::Server), (&event.client, Role::Client)] {
            if let Some(actor) = party.actor {
                self.note_role(actor.process, role, event.logged);
            }
        }
        if let Some(part) = &interaction.request
            && let Some(head) = &part.http
            && let Some(socket) = event.channel.as_ref().and_then(|channel| channel.socket)
            && interaction.direction == Direction::ClientToServer
            && let (Some(asker), Some(host)) = (event.client.actor, &head.host)
        {
            let peer = match part.from {
                Side::A => socket.b,
                Side::B => socket.a,
            };
            let path = head.target.split(['?', '#']).next().unwrap_or_default();
            let shown = (host.clone(), path.to_owned());
            if let Some(known) = self.heads.get_mut(&(asker.process, peer)) {
                *known = shown;
            } else {
                self.heads.insert((asker.process, peer), shown);
            }
        }
    }

    fn note_role(&mut self, process: ProcessKey, role: Role, now: Time) {
        let known = self.roles.get(&process).copied();
        if known == Some(role) || known == Some(Role::Server) {
            return;
        }
        self.roles.insert(process, role);
        self.told.push_back((process, role));
        if role == Role::Server {
            if let Some(acts) = self.acts.get_mut(&rough(process)) {
                acts.since = acts.since.or(Some(now));
            }
        } else {
            self.forget(rough(process));
        }
    }

    /// What the server of a call did while it was open. `None` where the server was not followed.
    pub(super) fn attach(
        &self,
        interaction: &Interaction,
        answerer: Option<Actor>,
        chains: &Chains,
        now: Time,
    ) -> Option<Activity> {
        let is_call =
            interaction.kind == Kind::Request && interaction.direction == Direction::ClientToServer;
        let request = interaction.request.as_ref().filter(|_| is_call)?;
        let server = answerer?.process;
        let own = self.acts.get(&rough(server))?;
        let since = own.since?;
        let answered = interaction.response.as_ref().map(|part| part.first);
        let stretch = [request.time, answered.unwrap_or(now)];
        if since > stretch[1] {
            return None;
        }
        let mut found = Finding {
            activity: Activity::default(),
            at: HashMap::new(),
            rivals: chains.open_between(server, stretch, interaction.id),
            stretch,
        };
        found.take(own, Basis::OpenRequest, &[]);
        for descendant in self.descendants.get(&rough(server)).into_iter().flatten() {
            let Some(acts) = self.acts.get(descendant) else {
                continue;
            };
            // What was done for a call nearer to it is not this one's.
            let above = acts
                .ancestors
                .iter()
                .take_while(|one| rough(**one) != rough(server));
            let nearer = std::iter::once(&acts.process).chain(above);
            let nearer = nearer.flat_map(|one| chains.open_between(*one, stretch, interaction.id));
            let nearer: Vec<_> = nearer.collect();
            found.take(acts, Basis::ProcessLineage, &nearer);
        }
        let mut activity = found.activity;
        let [from, to] = stretch;
        let is_refused = self
            .refused
            .is_some_and(|at| from <= at && at.0.saturating_sub(NOTICE) <= to.0);
        let is_followed = own.is_announced || since <= from;
        activity.is_complete =
            is_followed && activity.lost == 0 && !is_refused && interaction.stage == Stage::Final;
        for entry in &mut activity.entries {
            self.name(entry, server);
        }
        Some(activity)
    }

    /// Adds what is known of a connection by what went over it.
    fn name(&self, entry: &mut Entry, server: ProcessKey) {
        if let What::Connection(noticed) = &mut entry.what
            && let Some(address) = noticed.address
        {
            let peer = SocketAddr::new(address, noticed.port);
            noticed.http = self.heads.get(&(server, peer)).cloned();
        }
    }

    fn add(&mut self, process: ProcessKey, time: Time, done: Done, world: &impl World) {
        if self.roles.get(&process) == Some(&Role::Client) {
            return;
        }
        let acts = self.acts(process, world);
        // Whose deeds are told is followed from then on, at the latest.
        acts.since = acts.since.or(Some(time));
        acts.deeds.push_back((time, done));
        if acts.deeds.len() > DEEDS {
            acts.drop_oldest();
        } else {
            self.order.push_back(rough(process));
        }
        while self.order.len() > ALL {
            let Some(oldest) = self.order.pop_front() else {
                break;
            };
            if let Some(acts) = self.acts.get_mut(&oldest) {
                acts.drop_oldest();
            }
        }
    }

    /// The acts of a process; makes room where it is new.
    fn acts(&mut self, process: ProcessKey, world: &impl World) -> &mut Acts {
        if !self.acts.contains_key(&rough(process)) {
            self.make_room();
        }
        let descendants = &mut self.descendants;
        self.acts.entry(rough(process)).or_insert_with(|| {
            let known = world.process(process);
            let lineage = known.iter().flat_map(|process| &process.lineage);
            let ancestors: Vec<_> = lineage.map(|ancestor| ancestor.key).collect();
            for ancestor in &ancestors {
                descendants
                    .entry(rough(*ancestor))
                    .or_default()
                    .push(rough(process));
            }
            Acts {
                process,
                ancestors,
                ..Acts::default()
            }
        })
    }

    /// Forgets whoever has the oldest deed, where there are too many.
    fn make_room(&mut self) {
        while self.acts.len() >= PROCESSES {
            // What is left there of processes that were forgotten is passed over.
            let oldest = self.order.pop_front();
            let Some(oldest) = oldest.or_else(|| self.acts.keys().next().copied()) else {
                return;
            };
            self.forget(oldest);
        }
    }

    /// Forgets the process that has this rough key.
    fn forget(&mut self, process: ProcessKey) {
        let Some(acts) = self.acts.remove(&process) else {
            return;
        };
        for ancestor in acts.ancestors {
            if let Some(below) = self.descendants.get_mut(&rough(ancestor)) {
                below.retain(|one| *one != process);
                if below.is_empty() {
                    self.descendants.remove(&rough(ancestor));
                }
            }
        }
    }
}

impl Acts {
    fn lose(&mut self, time: Time, count: u64) {
        if self.lost.len() >= LOSSES
            && let Some((last, lost)) = self.lost.back_mut()
        {
            *last = time;
            *lost += count;
            return;
        }
        self.lost.push_back((time, count));
    }

    fn drop_oldest(&mut self) {
        if let Some((time, _)) = self.deeds.pop_front() {
            self.lose(time, 1);
        }
    }
}

/// An activity that is being put together.
struct Finding {
    activity: Activity,
    /// Where each thing stands in it.
    at: HashMap<(What, Basis), usize>,
    /// Other calls of the same process.
    rivals: Vec<(InteractionId, [Time; 2])>,
    stretch: [Time; 2],
}

impl Finding {
    /// Takes what a process did in the stretch, but not while one of `nearer` was open.
    fn take(&mut self, acts: &Acts, basis: Basis, nearer: &[(InteractionId, [Time; 2])]) {
        let [from, to] = self.stretch;
        let is_open = |[begun, ended]: [Time; 2], at: Time| begun <= at && at <= ended;
        let lost = acts.lost.iter().filter(|(at, _)| is_open([from, to], *at));
        self.activity.lost += lost.map(|(_, count)| count).sum::<u64>();
        for (at, done) in &acts.deeds {
            let is_nearer = nearer.iter().any(|(_, open)| is_open(*open, *at));
            if !is_open([from, to], *at) || is_nearer {
                continue;
            }
            let Done::What(what) = done else {
                self.activity.runtime += 1;
                continue;
            };
            let rivals = self.rivals.iter().filter(|(_, open)| is_open(*open, *at));
            let mut several = 1_u32;
            for (rival, _) in rivals {
                several = several.saturating_add(1);
                let others = &mut self.activity.others;
                if others.len() < OTHERS && !others.contains(rival) {
                    others.push(*rival);
                }
            }
            let certainty = match several {
                1 => Certainty::OnlyCandidate,
                several => Certainty::OneOf(several),
            };
            self.add(what, basis, certainty);
        }
    }

    fn add(&mut self, what: &What, basis: Basis, certainty: Certainty) {
        let place = (what.clone(), basis);
        if let Some(entry) = self
            .at
            .get(&place)
            .and_then(|at| self.activity.entries.get_mut(*at))
        {
            entry.count += 1;
            // The surest time counts: it was done then.
            if certainty == Certainty::OnlyCandidate {
                entry.certainty = certainty;
            }
            return;
        }
        let kind = what.kind();
        let entries = &mut self.activity.entries;
        let of_kind = entries.iter().filter(|one| one.what.kind() == kind).count();
        if of_kind >= ENTRIES {
            if let Some(further) = self.activity.further.get_mut(kind) {
                *further += 1;
            }
            return;
        }
        self.at.insert(place, entries.len());
        entries.push(Entry {
            what: what.clone(),
            basis,
            certainty,
            is_named: None,
            count: 1,
        });
    }
}

fn key(header: &Header) -> ProcessKey {
    ProcessKey {
        pid: header.tgid,
        start: header.start,
    }
}

/// A key by which a process is found however exactly its start is known: `/proc` tells it in ticks only.
fn rough(key: ProcessKey) -> ProcessKey {
    ProcessKey {
        pid: key.pid,
        start: key.start / TICK,
    }
}

/// What a record says was done; `None` for what says nothing.
fn read(kind: u8, told: &Deed, names: &Strings<'_>) -> Option<Done> {
    let access = match kind {
        deed::CONNECT => {
            return connection(told, names).map(|one| Done::What(What::Connection(one)));
        }
        deed::OPEN => opened(told),
        deed::WRITE | deed::TRUNCATE => Access::Write,
        deed::DELETE => Access::Delete,
        deed::RENAME_FROM => Access::RenameFrom,
        deed::RENAME_TO => Access::RenameTo,
        deed::CREATE => Access::Create,
        _ => return None,
    };
    let path = names.named()?;
    let is_device = told.inode_mode & S_IFMT == S_IFCHR && path.starts_with("/dev/");
    let is_own = match access {
        Access::Read => is_runtime(&path),
        _ => kind == deed::OPEN && is_device && is_harmless(&path),
    };
    Some(if is_own {
        Done::Runtime
    } else {
        Done::What(What::File {
            path,
            access,
            is_resolved: told.given_len == 0,
        })
    })
}

/// Devices into which nothing can be put that stays.
fn is_harmless(path: &str) -> bool {
    let name = path.strip_prefix("/dev/").unwrap_or_default();
    matches!(
        name,
        "null" | "zero" | "full" | "random" | "urandom" | "tty" | "ptmx"
    ) || name.starts_with("pts/")
}

fn opened(told: &Deed) -> Access {
    let writes = told.file_mode & FMODE_WRITE != 0;
    if told.file_mode & FMODE_CREATED != 0 {
        Access::Create
    } else if writes && told.flags & O_TRUNC != 0 {
        Access::Write
    } else if writes {
        Access::OpenForWriting
    } else {
        Access::Read
    }
}

fn connection(told: &Deed, names: &Strings<'_>) -> Option<Noticed> {
    let [a, b, c, d, ..] = told.address;
    let address = match told.ip {
        4 => Some(IpAddr::from([a, b, c, d])),
        6 => Some(IpAddr::from(told.address)),
        _ => None,
    };
    let path = if address.is_none() {
        Some(names.named()?)
    } else {
        None
    };
    Some(Noticed {
        address,
        port: told.port,
        protocol: match (told.protocol, &path) {
            (TCP, _) => "tcp",
            (UDP, _) => "udp",
            (_, Some(_)) => "unix",
            _ => "other",
        },
        path,
        is_begun: told.error != 0,
        http: None,
    })
}

#[cfg(test)]
#[path = "deeds_tests.rs"]
mod tests;
