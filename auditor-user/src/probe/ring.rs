//! The ring between kernel and daemon: hands out records, and waits without burning or hurrying.
//!
//! The kernel wakes the reader only when the ring was empty. The reader then lets records gather for a moment, so
//! that a busy host costs one wake-up per moment, not one per record. A [`Waker`] makes it look at once.

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _},
    sync::Arc,
    time::Duration,
};

use aya::maps::{MapData, RingBuf};
use nix::{
    errno::Errno,
    sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
        eventfd::{EfdFlags, EventFd},
    },
};

/// How long records may gather before they are read.
const GATHER: Duration = Duration::from_millis(4);
/// Whose descriptor is ready, as the epoll tells it.
const RECORDS: u64 = 0;
const WAKER: u64 = 1;

/// The reading end of the ring.
pub(crate) struct Ring {
    buffer: RingBuf<MapData>,
    epoll: Epoll,
    waker: Waker,
}

/// Makes the reader of the ring look at once.
#[derive(Clone)]
pub(crate) struct Waker(Arc<EventFd>);

impl Waker {
    /// Wakes the reader, now or when it next waits.
    pub(crate) fn wake(&self) {
        // Fails only when it was called 2^64 times.
        let _ = self.0.write(1);
    }
}

/// What ended a wait.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Woken {
    /// There are records.
    Records,
    /// Somebody asked for a look.
    Asked,
    /// The time.
    Nothing,
}

impl Ring {
    pub(super) fn new(buffer: RingBuf<MapData>) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
        // SAFETY: the ring's descriptor lives as long as the epoll that watches it: both are fields of `Ring`.
        let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(buffer.as_raw_fd()) };
        epoll.add(fd.as_fd(), EpollEvent::new(flags, RECORDS))?;
        let waker =
            EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        epoll.add(&waker, EpollEvent::new(flags, WAKER))?;
        Ok(Self {
            buffer,
            epoll,
            waker: Waker(Arc::new(waker)),
        })
    }

    /// What makes [`wait`](Self::wait) return.
    pub(crate) fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Waits until there are records, somebody asks, or until `timeout`.
    ///
    /// # Errors
    /// When the kernel refuses to wait.
    pub(crate) fn wait(&mut self, timeout: Duration) -> io::Result<Woken> {
        let woken = self.wait_once(timeout)?;
        if woken == Woken::Records {
            // A second wake-up in this time means that the ring is filling, or that somebody asks.
            if self.wait_once(GATHER)? == Woken::Asked {
                return Ok(Woken::Asked);
            }
        }
        Ok(woken)
    }

    fn wait_once(&self, timeout: Duration) -> io::Result<Woken> {
        let millis = EpollTimeout::try_from(timeout).unwrap_or(EpollTimeout::MAX);
        let mut events = [EpollEvent::empty(); 2];
        let count = match self.epoll.wait(&mut events, millis) {
            Ok(count) => count,
            Err(Errno::EINTR) => 0,
            Err(error) => return Err(error.into()),
        };
        let ready = events.get(..count).unwrap_or_default();
        Ok(if ready.iter().any(|event| event.data() == WAKER) {
            Woken::Asked
        } else if ready.is_empty() {
            Woken::Nothing
        } else {
            Woken::Records
        })
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
