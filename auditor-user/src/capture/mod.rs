//! Takes records from the ring in a thread of its own, so that the kernel finds room while the pipeline works.
//!
//! A batch says up to when nothing more will come: only so can the pipeline tell what is late from what waits in the
//! ring. Bound: [`BATCHES`] batches of about [`BATCH`] bytes wait; then the ring fills, and the kernel side counts.

mod clock;
mod file;

use std::{io, thread, time::Duration};

use tokio::sync::mpsc::{Receiver, Sender, channel};

use auditor_common::record::{DATA, Header};

pub(crate) use clock::{Clock, since_boot};
pub(crate) use file::{Recording, replay};

use crate::probe::{Ring, Waker, Woken};

/// Batches that wait for the pipeline.
const BATCHES: usize = 96;
/// Bytes after which a batch is handed on.
const BATCH: usize = 256 << 10;
/// Priority of the thread: what it does is short, and beside forty busy programs its share of a processor would come
/// after the ring is full.
const NICE: i32 = -10;
/// How long the thread waits at most before it looks whether it is still wanted.
const WAIT: Duration = Duration::from_millis(200);

/// Records, one after the other, each behind its length (four bytes, little-endian).
#[derive(Debug, Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    /// All that happened before was handed on, with this batch or before: nanoseconds since boot. `None` where the ring
    /// was not read to its end.
    pub(crate) until: Option<u64>,
}

impl Batch {
    /// Adds a record, without what is behind its payload.
    pub(crate) fn push(&mut self, record: &[u8]) {
        let record = record.get(..used(record)).unwrap_or(record);
        self.bytes
            .extend_from_slice(&(record.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(record);
    }

    /// The records.
    pub(crate) fn records(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.bytes.as_slice();
        std::iter::from_fn(move || {
            let (len, behind) = rest.split_first_chunk::<4>()?;
            let (record, behind) = behind.split_at_checked(u32::from_le_bytes(*len) as usize)?;
            rest = behind;
            Some(record)
        })
    }
}

/// Bytes of a record that mean something: payload areas come in few sizes.
fn used(record: &[u8]) -> usize {
    match (record.first(), record.get(4..8)) {
        (Some(&DATA), Some(&[a, b, c, d])) => {
            size_of::<Header>() + u32::from_ne_bytes([a, b, c, d]) as usize
        }
        _ => record.len(),
    }
}

/// What the thread hands on, and a way to ask it.
pub(crate) struct Capture {
    pub(crate) batches: Receiver<Batch>,
    waker: Waker,
}

impl Capture {
    /// Asks for a batch with [`until`](Batch::until), though there may be no records in it.
    pub(crate) fn ask(&self) {
        self.waker.wake();
    }
}

/// Starts the thread. It ends when the receiver is closed.
///
/// # Errors
/// When it cannot be started.
pub(crate) fn start(ring: Ring) -> io::Result<Capture> {
    let (sender, batches) = channel(BATCHES);
    let waker = ring.waker();
    thread::Builder::new()
        .name("capture".to_owned())
        .spawn(move || read(ring, &sender))?;
    Ok(Capture { batches, waker })
}

fn read(mut ring: Ring, sender: &Sender<Batch>) {
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::warn!(%error, "the capture thread runs at ordinary priority: on a busy host more may be lost");
    }
    while !sender.is_closed() {
        let woken = match ring.wait(WAIT) {
            Ok(woken) => woken,
            Err(error) => {
                tracing::error!(%error, "cannot wait for the ring");
                return;
            }
        };
        let mut is_empty = false;
        while !is_empty {
            let looked = since_boot();
            let mut batch = Batch {
                bytes: Vec::with_capacity(BATCH / 4),
                until: None,
            };
            while batch.bytes.len() < BATCH && !is_empty {
                is_empty = !ring.next(|record| batch.push(record));
            }
            batch.until = is_empty.then_some(looked);
            let is_wanted = !batch.bytes.is_empty() || woken == Woken::Asked;
            if is_wanted && sender.blocking_send(batch).is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_gives_back_its_records_without_their_padding() {
        let mut data = vec![0; size_of::<Header>() + 512];
        data[0] = DATA;
        data[4..8].copy_from_slice(&5u32.to_ne_bytes());
        let mut batch = Batch::default();
        batch.push(&data);
        batch.push(&[9; 80]);
        let records: Vec<_> = batch.records().collect();
        assert_eq!(records, [&data[..size_of::<Header>() + 5], &[9; 80][..]]);
    }
}
