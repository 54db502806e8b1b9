//! Whether two files are one to the kernel: an overlay shows one inode under several names and numbers, and a probe put
//! there twice fires twice.
//!
//! Asks the kernel itself: where a file is probed, the first byte of each site is a breakpoint in every mapping of it,
//! also in one that was just made. Changes nothing.

use std::{fs::File, io, num::NonZeroUsize, os::unix::fs::FileExt as _};

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

/// The instruction that the kernel puts where a probe is.
const BREAKPOINT: u8 = 0xcc;
/// Bytes of a page.
const PAGE: u64 = 4_096;

/// Whether there is a probe at each of these offsets of a file.
///
/// # Errors
/// When the file cannot be mapped or read.
pub(super) fn is_probed(file: &File, offsets: impl IntoIterator<Item = u64>) -> io::Result<bool> {
    let memory = File::open("/proc/self/mem")?;
    let mut is_any = false;
    for offset in offsets {
        let mut written = [0];
        file.read_exact_at(&mut written, offset)?;
        if written == [BREAKPOINT] || byte_in_memory(file, offset, &memory)? != BREAKPOINT {
            return Ok(false);
        }
        is_any = true;
    }
    Ok(is_any)
}

/// A byte as a process that maps the file sees it. Read through /proc, for the file may be cut short meanwhile.
fn byte_in_memory(file: &File, offset: u64, memory: &File) -> io::Result<u8> {
    let page = NonZeroUsize::MIN.saturating_add(PAGE as usize - 1);
    let begin = i64::try_from(offset - offset % PAGE).map_err(io::Error::other)?;
    // SAFETY: a new mapping that nothing refers to, and that is never accessed directly.
    let start = unsafe {
        mmap(
            None,
            page,
            ProtFlags::PROT_READ,
            MapFlags::MAP_PRIVATE,
            file,
            begin,
        )?
    };
    let mut byte = [0];
    let read = memory.read_exact_at(&mut byte, start.as_ptr() as u64 + offset % PAGE);
    // SAFETY: what was just mapped.
    unsafe { munmap(start, page.get())? };
    read.map(|()| byte[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_probes_is_seen_as_it_is_written() {
        let own = File::open("/proc/self/exe").unwrap();
        assert!(!is_probed(&own, [1, 4_097]).unwrap());
        assert!(!is_probed(&own, []).unwrap());
        let memory = File::open("/proc/self/mem").unwrap();
        let bytes: Vec<u8> = (0..4)
            .map(|at| byte_in_memory(&own, at, &memory).unwrap())
            .collect();
        assert_eq!(bytes, b"\x7fELF");
        assert!(is_probed(&own, [u64::MAX / 4]).is_err());
    }
}
