//! What is found in a file, in the words of the probes.
//!
//! Large files are looked at by a process of their own, which maps them: whoever owns a file may cut it short, and only
//! that process dies of it. It gives back what it has gone through, so that it never holds all of the file. Bounds: [`SMALL`] bytes are read into memory, [`SECONDS`] of processor time for the rest.

use std::{
    fs::File,
    io::{self, Read as _},
    os::unix::fs::FileExt as _,
    process::{Command, Stdio},
};

use auditor_common::cookie::form;
use auditor_elf::{Call, Library, Refusal, Role};
use nix::{
    sys::{
        mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap},
        resource::{Resource, setrlimit},
    },
    unistd::{Gid, Uid, setgid, setgroups, setuid},
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Files up to this size are read.
pub(super) const SMALL: u64 = 24 << 20;
/// Processor time for a large file.
const SECONDS: u64 = 10;
/// Bytes of an answer.
const ANSWER: u64 = 4 << 20;
/// Bytes of a page.
const PAGE: usize = 4096;
/// The user that nothing belongs to.
const NOBODY: u32 = 65_534;

/// A TLS stack in a file.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Found {
    /// Its name.
    pub(super) stack: String,
    /// Its version, as the file words it.
    pub(super) version: Option<String>,
    /// Why it cannot be probed.
    pub(super) refused: Option<String>,
    /// Whether that is so for every file of this kind.
    pub(super) is_hopeless: bool,
    /// Its functions that move plaintext past the sites.
    pub(super) unheard: Vec<String>,
    /// Where to probe it.
    pub(super) sites: Vec<Site>,
}

/// A place to probe.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Site {
    /// Offset in the file.
    pub(super) offset: u64,
    /// What to put there.
    pub(super) kind: Kind,
    /// See [`form`].
    pub(super) form: u8,
    /// For Go, where connection and buffer are from the stack pointer.
    pub(super) stack: [u16; 2],
    /// For Go, the register that has the count, and the word of the stack that comes on top.
    pub(super) count: [u8; 2],
}

/// The programs that hear TLS.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum Kind {
    Enter,
    Returned,
    Go,
    Free,
    Seal,
    Open,
    Opened,
}

/// Why a file could not be looked at.
#[derive(Debug, Error)]
pub(crate) enum InspectError {
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Read(#[from] io::Error),
    /// A system call failed.
    #[error("cannot be mapped: {0}")]
    Map(#[from] nix::Error),
    /// It is no ELF file, or lies.
    #[error(transparent)]
    Elf(#[from] auditor_elf::ElfError),
    /// The process that looked at it did not end well.
    #[error("looking at it took too long, or it was changed meanwhile ({0})")]
    Failed(std::process::ExitStatus),
    /// Its answer makes no sense.
    #[error("no answer: {0}")]
    Answer(#[from] serde_json::Error),
}

/// Looks at a file of `len` bytes, at most [`SMALL`].
///
/// # Errors
/// When it cannot be read, or is no ELF file of this machine.
pub(super) fn small(file: &File, len: u64) -> Result<Vec<Found>, InspectError> {
    let mut bytes = vec![0; len.min(SMALL) as usize];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(auditor_elf::recognise(&bytes)?.iter().map(found).collect())
}

/// Looks at a file of any size, in a process of its own.
///
/// # Errors
/// As [`small`], and when that process fails.
pub(super) fn large(file: &File) -> Result<Vec<Found>, InspectError> {
    let mut child = Command::new("/proc/self/exe")
        .arg("inspect")
        .stdin(file.try_clone()?)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .env_clear()
        .spawn()?;
    let mut answer = Vec::new();
    if let Some(output) = child.stdout.take() {
        output.take(ANSWER).read_to_end(&mut answer)?;
    }
    let status = child.wait()?;
    if !status.success() {
        return Err(InspectError::Failed(status));
    }
    Ok(serde_json::from_slice(&answer)?)
}

/// The process that looks at the file on its standard input, without privileges, and answers on its standard output.
///
/// # Errors
/// As [`small`].
pub(crate) fn serve() -> Result<(), InspectError> {
    let file = File::from(std::os::fd::AsFd::as_fd(&io::stdin()).try_clone_to_owned()?);
    setrlimit(Resource::RLIMIT_CPU, SECONDS, SECONDS)?;
    if Uid::effective().is_root() {
        setgroups(&[])?;
        setgid(Gid::from_raw(NOBODY))?;
        setuid(Uid::from_raw(NOBODY))?;
    }
    let Some(bytes) = map(&file)? else {
        return Ok(());
    };
    let libraries = auditor_elf::recognise_passing(bytes, &give_back)?;
    let answer: Vec<Found> = libraries.iter().map(found).collect();
    serde_json::to_writer(io::stdout().lock(), &answer)?;
    Ok(())
}

/// All bytes of a file, which stay mapped; none of an empty one.
fn map(file: &File) -> Result<Option<&'static [u8]>, InspectError> {
    let len = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    let Some(len) = std::num::NonZeroUsize::new(len) else {
        return Ok(None);
    };
    // SAFETY: nothing else is mapped there, and the mapping is never written, so that what is given back reads the same
    // again. Whoever cuts the file short ends this process.
    unsafe {
        let start = mmap(
            None,
            len,
            ProtFlags::PROT_READ,
            MapFlags::MAP_PRIVATE,
            file,
            0,
        )?;
        Ok(Some(std::slice::from_raw_parts(
            start.as_ptr().cast::<u8>(),
            len.get(),
        )))
    }
}

/// Gives back the memory of a part of the mapping; what of it is read again comes from the file again.
fn give_back(part: &[u8]) {
    // Where it begins within a page, the bytes before it were passed, too.
    let inside = part.as_ptr().addr() % PAGE;
    let place = part.as_ptr().wrapping_sub(inside).cast_mut().cast();
    let len = (inside + part.len()) / PAGE * PAGE;
    if let Some(place) = std::ptr::NonNull::new(place) {
        // SAFETY: these are whole pages of the mapping of a file that is never written, which the kernel fills anew.
        let _ = unsafe { madvise(place, len, MmapAdvise::MADV_DONTNEED) };
    }
}

fn found(library: &Library) -> Found {
    let sites = library.sites.iter().filter_map(|site| {
        let (kind, call) = kind(site.role)?;
        let (form, stack) = match call {
            Some(call) => form_of(call)?,
            None => (0, [0; 2]),
        };
        let count = match call {
            Some(Call::GoWrite { count, .. } | Call::GoRead { count, .. }) => count.parts(),
            _ => [0; 2],
        };
        Some(Site {
            offset: site.offset,
            kind,
            form,
            stack,
            count,
        })
    });
    Found {
        stack: format!("{:?}", library.stack),
        version: library.version.clone(),
        refused: library.refused.map(|refused| refused.to_string()),
        is_hopeless: matches!(library.refused, Some(Refusal::Unhearable { .. })),
        unheard: library
            .unheard
            .iter()
            .map(|name| (*name).to_owned())
            .collect(),
        sites: sites.collect(),
    }
}

/// The program for a site; none where nothing is to be learnt.
fn kind(role: Role) -> Option<(Kind, Option<Call>)> {
    Some(match role {
        Role::Enter(call @ (Call::AeadSeal | Call::AeadSealScatter | Call::RingSeal)) => {
            (Kind::Seal, Some(call))
        }
        // What is sealed was read before.
        Role::Return(Call::AeadSeal | Call::AeadSealScatter | Call::RingSeal) => return None,
        Role::Enter(call @ (Call::AeadOpen | Call::RingOpen)) => (Kind::Open, Some(call)),
        Role::Return(call @ (Call::AeadOpen | Call::RingOpen)) => (Kind::Opened, Some(call)),
        Role::Enter(call) => (Kind::Enter, Some(call)),
        Role::Return(call) => (Kind::Returned, Some(call)),
        Role::Ret(call) => (Kind::Go, Some(call)),
        Role::Free => (Kind::Free, None),
    })
}

fn form_of(call: Call) -> Option<(u8, [u16; 2])> {
    Some(match call {
        Call::SslWrite => (form::WRITE, [0; 2]),
        Call::SslRead => (form::READ, [0; 2]),
        Call::SslWriteEx => (form::WRITE_EX, [0; 2]),
        Call::SslReadEx => (form::READ_EX, [0; 2]),
        Call::SslWriteEx2 => (form::WRITE_EX2, [0; 2]),
        Call::AeadSeal => (form::AEAD_SEAL, [0; 2]),
        Call::AeadSealScatter => (form::AEAD_SEAL_SCATTER, [0; 2]),
        Call::AeadOpen => (form::AEAD_OPEN, [0; 2]),
        Call::RingSeal => (form::RING_SEAL, [0; 2]),
        Call::RingOpen => (form::RING_OPEN, [0; 2]),
        Call::GnuTlsSend => (form::GNUTLS_SEND, [0; 2]),
        Call::GnuTlsReceive => (form::GNUTLS_RECEIVE, [0; 2]),
        Call::GoWrite {
            connection, buffer, ..
        } => (form::GO_WRITE, [connection, buffer]),
        Call::GoRead {
            connection, buffer, ..
        } => (form::GO_READ, [connection, buffer]),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// KiB that are resident of a mapping.
    fn resident(bytes: &[u8]) -> u64 {
        let maps = procfs::process::Process::myself().unwrap().smaps().unwrap();
        let start = bytes.as_ptr().addr() as u64;
        let own = maps.iter().find(|map| map.address.0 == start).unwrap();
        own.extension.map["Rss"] / 1024
    }

    #[test]
    fn what_is_given_back_takes_no_memory_and_reads_the_same_again() {
        let own = File::open("/proc/self/exe").unwrap();
        let bytes = map(&own).unwrap().unwrap();
        let sum = || bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>();
        let (before, all) = (sum(), resident(bytes));
        assert!(all * 1024 >= bytes.len() as u64, "{all} KiB");
        give_back(bytes);
        assert!(resident(bytes) <= 4, "the last page at most");
        assert_eq!(sum(), before);
    }

    #[test]
    fn a_large_file_is_never_resident_as_a_whole() {
        let own = File::open("/proc/self/exe").unwrap();
        let bytes = map(&own).unwrap().unwrap();
        assert!(bytes.len() > 16 << 20, "the tests are small");
        let most = std::cell::Cell::new(0);
        let passed = |part: &[u8]| {
            most.set(most.get().max(resident(bytes)));
            give_back(part);
        };
        auditor_elf::recognise_passing(bytes, &passed).unwrap();
        let half = bytes.len() as u64 / 1024 / 2;
        assert!(most.get() < half, "{} KiB of {}", most.get(), 2 * half);
    }
}
