//! The ring between kernel and daemon: hands out records, and waits without burning or hurrying.
//!
//! The kernel wakes the reader only when the ring was empty. The reader then lets records gather for a moment, so
//! that a busy host costs one wake-up per moment, not one per record.

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _},
    time::Duration,
};

use aya::maps::{MapData, RingBuf};
use nix::{
    errno::Errno,
    sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
};

/// How long records may gather before they are read.
const GATHER: Duration = Duration::from_millis(4);

/// The reading end of the ring.
pub(crate) struct Ring {
    buffer: RingBuf<MapData>,
    epoll: Epoll,
}

impl Ring {
    pub(super) fn new(buffer: RingBuf<MapData>) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        // SAFETY: the ring's descriptor lives as long as the epoll that watches it: both are fields of `Ring`.
        let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(buffer.as_raw_fd()) };
        epoll.add(
            fd.as_fd(),
            EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, 0),
        )?;
        Ok(Self { buffer, epoll })
    }

    /// Waits until there are records, or until `timeout`.
    ///
    /// # Errors
    /// When the kernel refuses to wait.
    pub(crate) fn wait(&mut self, timeout: Duration) -> io::Result<()> {
        if self.wait_once(timeout)? {
            // A second wake-up in this time means that the ring is filling.
            self.wait_once(GATHER)?;
        }
        Ok(())
    }

    fn wait_once(&self, timeout: Duration) -> io::Result<bool> {
        let millis = EpollTimeout::try_from(timeout).unwrap_or(EpollTimeout::MAX);
        let mut events = [EpollEvent::empty()];
        match self.epoll.wait(&mut events, millis) {
            Ok(count) => Ok(count > 0),
            Err(Errno::EINTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Hands the next record to `take`; false when there is none.
    pub(crate) fn next(&mut self, take: impl FnOnce(&[u8])) -> bool {
        match self.buffer.next() {
            Some(record) => {
                take(&record);
                true
            }
            None => false,
        }
    }
}
