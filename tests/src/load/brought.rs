//! What a daemon brings into the kernel: BPF programs, maps and links by their ids, and breakpoints in programs.
//!
//! Ids are not given again soon, so that what other auditors on this host bring and take away does not count.

use std::{collections::BTreeSet, fmt, fs, fs::File, os::unix::fs::FileExt as _};

use anyhow::{Context as _, Result};
use aya::{maps::loaded_maps, programs::loaded_links, programs::loaded_programs};

/// The instruction that a probe puts in a program.
const BREAKPOINT: u8 = 0xcc;
/// A program of every auditor.
const ITS_PROGRAM: &str = "tls_enter";

/// What daemons brought.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Brought {
    programs: BTreeSet<u32>,
    maps: BTreeSet<u32>,
    /// A user probe is one of them.
    links: BTreeSet<u32>,
}

impl Brought {
    /// What a running daemon holds.
    pub(super) fn by(daemon: u32) -> Result<Self> {
        let mut brought = Self::default();
        for entry in fs::read_dir(format!("/proc/{daemon}/fdinfo"))? {
            // Some are closed meanwhile.
            let told = fs::read_to_string(entry?.path()).unwrap_or_default();
            let id = |name: &str| {
                let line = told.lines().find(|line| line.starts_with(name))?;
                line.split_whitespace().nth(1)?.parse::<u32>().ok()
            };
            brought.programs.extend(id("prog_id:"));
            brought.maps.extend(id("map_id:"));
            brought.links.extend(id("link_id:"));
        }
        Ok(brought)
    }

    /// Adds what another brought.
    pub(super) fn add(&mut self, other: Self) {
        self.programs.extend(other.programs);
        self.maps.extend(other.maps);
        self.links.extend(other.links);
    }

    /// What of it is in the kernel now.
    pub(super) fn left(&self) -> Result<Self> {
        // What vanishes while it is looked at is an error, and is not left.
        let programs = loaded_programs().flatten().map(|program| program.id());
        let maps = loaded_maps().flatten().map(|map| map.id());
        let links = loaded_links().flatten().map(|link| link.id());
        Ok(Self {
            programs: programs.filter(|id| self.programs.contains(id)).collect(),
            maps: maps.filter(|id| self.maps.contains(id)).collect(),
            links: links.filter(|id| self.links.contains(id)).collect(),
        })
    }

    /// Whether any auditor is at work on this host.
    pub(super) fn is_another_there() -> bool {
        let mut programs = loaded_programs().flatten();
        programs.any(|program| program.name_as_str() == Some(ITS_PROGRAM))
    }
}

impl fmt::Display for Brought {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [programs, maps, links] = [&self.programs, &self.maps, &self.links].map(BTreeSet::len);
        write!(
            formatter,
            "{programs} programs, {maps} maps and {links} links"
        )
    }
}

/// Breakpoints in the code of a process, which are not in the files that it comes from.
pub(super) fn breakpoints(pid: u32) -> Result<usize> {
    let memory = File::open(format!("/proc/{pid}/mem"))?;
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let mut found = 0;
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (Some(range), Some(rights), Some(offset)) = (words.next(), words.next(), words.next())
        else {
            continue;
        };
        let path = words.nth(2).filter(|path| path.starts_with('/'));
        let (true, Some(path)) = (rights.contains('x'), path) else {
            continue;
        };
        let (begin, end) = range.split_once('-').context("no range")?;
        let [begin, end, offset] = [begin, end, offset].map(|text| u64::from_str_radix(text, 16));
        let (begin, end, offset) = (begin?, end?, offset?);
        let mut live = vec![0; usize::try_from(end - begin)?];
        memory.read_exact_at(&mut live, begin)?;
        let file = fs::read(path)?;
        let filed = file.get(usize::try_from(offset)?..).unwrap_or_default();
        let is_new = |(live, filed): &(&u8, &u8)| **live == BREAKPOINT && live != filed;
        found += live.iter().zip(filed).filter(is_new).count();
    }
    Ok(found)
}
