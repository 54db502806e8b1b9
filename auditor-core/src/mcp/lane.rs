//! Who is at the ends of a channel that carries lines, and which role speaks in each direction.
//!
//! Bounds: [`ACTORS`] processes an end, [`UNSEEN`] messages of which an end was not seen yet, [`ECHOES`] lines of a
//! terminal.

use std::{collections::VecDeque, ops::Range};

use super::{
    interaction::{Failure, LostCause},
    message::Parsed,
    method::Sender,
    sessions::Sessions,
};
use crate::key::{Actor, ChannelId, ProcessKey, Side};

/// A channel that carries lines.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) session: u64,
    /// Whether only one side sends: it is a pipe, or a socket whose other side was silent so far.
    pub(super) one_way: bool,
    /// The side that sent first.
    pub(super) speaks: Side,
    pub(super) lanes: [Lane; 2],
    /// If only one side sends: the channel of the other direction.
    pub(super) partner: Option<ChannelId>,
    /// For a terminal: hashes of the last lines, to know their echo.
    pub(super) echo: Option<VecDeque<(Side, [u8; 32])>>,
}

/// One direction of a channel that carries lines.
#[derive(Debug, Default)]
pub(super) struct Lane {
    pub(super) writers: Vec<Actor>,
    pub(super) readers: Vec<Actor>,
    /// The role that sends here.
    pub(super) role: Option<Sender>,
    /// The last messages of which an end was not seen yet.
    pub(super) unseen: VecDeque<Range<u64>>,
    /// Whether bytes of it were lost.
    pub(super) gap: bool,
    /// Pipes that cannot be the other direction.
    pub(super) excluded: Vec<ChannelId>,
    /// The pipe that threads point to, and how many answers said so.
    pub(super) vote: Option<(ChannelId, u32)>,
}

/// Processes remembered at one end of a lane; the oldest goes.
const ACTORS: usize = 4;
/// While one is processed the reader of the one before is known, not its own.
const UNSEEN: usize = 2;
const ECHOES: usize = 16;

impl Lane {
    /// Notes who moved a message; returns the processes that are new here.
    pub(super) fn note(&mut self, ends: [Option<Actor>; 2]) -> Vec<ProcessKey> {
        let mut new = Vec::new();
        for (actors, actor) in [&mut self.writers, &mut self.readers].into_iter().zip(ends) {
            let Some(actor) = actor else { continue };
            match actors
                .iter_mut()
                .find(|known| known.process == actor.process)
            {
                Some(known) => known.tid = actor.tid,
                None => {
                    if actors.len() == ACTORS {
                        actors.remove(0);
                    }
                    actors.push(actor);
                    new.push(actor.process);
                }
            }
        }
        new
    }
}

impl Line {
    /// The direction of the side that sent first.
    pub(super) fn lane(&self) -> &Lane {
        &self.lanes[self.speaks.index()]
    }

    /// Every process seen at an end.
    pub(super) fn processes(&self) -> impl Iterator<Item = ProcessKey> {
        self.lanes
            .iter()
            .flat_map(|lane| lane.writers.iter().chain(&lane.readers))
            .map(|actor| actor.process)
    }
}

impl Sessions {
    /// Whether a line on a terminal is the echo of one that went the other way.
    pub(super) fn is_echo(&mut self, parsed: &Parsed) -> bool {
        let (channel, from) = (parsed.part.channel, parsed.part.from);
        let line = self
            .channels
            .get_mut(&channel)
            .and_then(|chan| chan.line.as_mut());
        let Some(echo) = line.and_then(|line| line.echo.as_mut()) else {
            return false;
        };
        let twin = (from.other(), parsed.part.sha256);
        if let Some(at) = echo.iter().position(|known| *known == twin) {
            echo.remove(at);
            return true;
        }
        if echo.len() == ECHOES {
            echo.pop_front();
        }
        echo.push_back((from, parsed.part.sha256));
        false
    }

    /// Notes who moved bytes of a lane, and indexes processes that are new there.
    pub(super) fn note_actors(
        &mut self,
        channel: ChannelId,
        from: Side,
        ends: [Option<Actor>; 2],
        range: Option<&Range<u64>>,
    ) {
        let line = self
            .channels
            .get_mut(&channel)
            .and_then(|chan| chan.line.as_mut());
        let Some(line) = line else { return };
        let lane = &mut line.lanes[from.index()];
        if let Some(range) = range.filter(|_| line.one_way && line.partner.is_none())
            && (ends[0].is_none() || ends[1].is_none())
        {
            if lane.unseen.len() == UNSEEN {
                lane.unseen.pop_front();
            }
            lane.unseen.push_back(range.clone());
        }
        for process in lane.note(ends) {
            let channels = self.by_process.entry(process).or_default();
            if !channels.contains(&channel) {
                channels.push(channel);
            }
        }
    }

    /// Learns the role that sends in one direction, and with it the other direction's.
    pub(super) fn note_role(&mut self, channel: ChannelId, from: Side, role: Sender) {
        let line = self
            .channels
            .get_mut(&channel)
            .and_then(|chan| chan.line.as_mut());
        let Some(line) = line else { return };
        line.lanes[from.index()].role.get_or_insert(role);
        let (one_way, session, partner) = (line.one_way, line.session, line.partner);
        let other = if role == Sender::Client {
            Sender::Server
        } else {
            Sender::Client
        };
        if one_way {
            let partner = partner.and_then(|id| self.channels.get_mut(&id));
            if let Some(line) = partner.and_then(|chan| chan.line.as_mut()) {
                let speaks = line.speaks.index();
                line.lanes[speaks].role.get_or_insert(other);
            }
        } else {
            line.lanes[from.other().index()].role.get_or_insert(other);
            if let Some(live) = self.live.get_mut(&session) {
                live.orient(if role == Sender::Client {
                    from
                } else {
                    from.other()
                });
            }
        }
    }

    /// A process ended a while ago: where it was the only one at an end, nothing more can come.
    pub(super) fn process_exited(&mut self, process: ProcessKey) {
        for channel in self.by_process.remove(&process).unwrap_or_default() {
            let line = self
                .channels
                .get_mut(&channel)
                .and_then(|chan| chan.line.as_mut());
            let Some(line) = line else { continue };
            let mut deserted = false;
            for actors in line
                .lanes
                .iter_mut()
                .flat_map(|lane| [&mut lane.writers, &mut lane.readers])
            {
                let before = actors.len();
                actors.retain(|actor| actor.process != process);
                deserted |= before > 0 && actors.is_empty();
            }
            if deserted {
                let session = line.session;
                let all = self.live.get(&session).map(|live| live.all.clone());
                for id in all.unwrap_or_default() {
                    self.fail(id, Failure::Lost(LostCause::Exited));
                }
            }
        }
    }
}
