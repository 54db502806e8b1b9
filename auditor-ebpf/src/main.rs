//! The kernel side of mcp-auditor: sees which bytes move on which stream by whom, and puts it into a ring.
//!
//! It decides only what is worth copying (see [`stream`]); what the bytes mean is the daemon's business. It never
//! waits, never changes what it sees, and what it could not deliver it counts.
#![no_std]
#![no_main]
#![allow(unreachable_pub, reason = "programs must be exported")]
#![allow(
    clippy::needless_borrows_for_generic_args,
    reason = "what is handed over by value is copied onto the stack, which Linux 6.1 counts"
)]
#![feature(asm_experimental_arch)]

mod aead;
mod again;
mod arch;
mod copy;
mod deed;
mod emit;
mod io;
mod kernel;
mod object;
mod process;
mod scan;
mod seed;
mod session;
mod slot;
mod stream;
mod tcp;
mod tls;
mod uring;

/// What the kernel wants to hear before it lends its tracing helpers.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
