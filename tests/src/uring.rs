//! `auditor-e2e io-uring-write`: writes standard input to standard output by `io_uring`.

use std::{io::Read as _, os::fd::AsRawFd as _, process::ExitCode};

use anyhow::{Result, ensure};
use io_uring::{IoUring, opcode, types::Fd};

/// Does it, and says what went wrong.
pub(crate) fn main() -> ExitCode {
    match write() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn write() -> Result<()> {
    let mut data = Vec::new();
    std::io::stdin().read_to_end(&mut data)?;
    let mut ring = IoUring::new(2)?;
    let output = Fd(std::io::stdout().as_raw_fd());
    let request = opcode::Write::new(output, data.as_ptr(), u32::try_from(data.len())?)
        .offset(u64::MAX)
        .build();
    // SAFETY: `data` outlives the request, which is waited for below.
    unsafe { ring.submission().push(&request)? };
    ring.submit_and_wait(1)?;
    let written = ring.completion().next().map_or(-1, |entry| entry.result());
    ensure!(
        usize::try_from(written).is_ok_and(|written| written == data.len()),
        "io_uring wrote {written}"
    );
    Ok(())
}
