//! Records that a library seals and opens, where it offers no calls of its own for plaintext: AWS-LC and ring, as
//! rustls uses them.
//!
//! What is sealed belongs to TLS when its additional data is a record header (RFC 8446, section 5.2; RFC 5246, section
//! 6.2.3.3), and is told when it is application data. Plaintext is read before it is sealed and after it was opened,
//! for both happens in place. A handle is the key of one direction.

use auditor_common::{
    cookie::{self, form},
    record::end,
};
use aya_ebpf::{
    macros::{uprobe, uretprobe},
    programs::{ProbeContext, RetProbeContext},
};

use crate::{
    kernel::{ids, is_self, read_user},
    session::{self, Call},
    tls::{self, Kind, register},
};

/// Content type of application data.
const APPLICATION_DATA: u8 = 23;
/// Padding that Java puts behind the content type of every record.
const PADDING: u64 = 16;

/// A record is about to be sealed.
#[uprobe]
pub fn aead_seal(context: ProbeContext) -> u32 {
    seal::<true>(&context);
    0
}

/// The same for kernels without `bpf_loop` (before 5.17).
#[uprobe]
pub fn aead_seal_bounded(context: ProbeContext) -> u32 {
    seal::<false>(&context);
    0
}

/// A record is about to be opened: where its plaintext will be.
#[uprobe]
pub fn aead_open(context: ProbeContext) -> u32 {
    let place = tls::place(&context);
    let stack = register!(context, rsp);
    let (first, second, sixth) = (
        register!(context, rdi),
        register!(context, rsi),
        register!(context, r9),
    );
    let (third, fourth, fifth) = (
        register!(context, rdx),
        register!(context, rcx),
        register!(context, r8),
    );
    let is_ring = cookie::form(place) == form::RING_OPEN;
    let told = if is_ring {
        // The buffer's length, and how much of its beginning is no ciphertext.
        let Some([len, skip]) = read_user::<[u64; 2]>(stack + 8) else {
            return 0;
        };
        [len.wrapping_sub(skip), additional(fourth, fifth)]
    } else {
        let Some([data, len]) = read_user::<[u64; 2]>(stack + 24) else {
            return 0;
        };
        [third, additional(data, len)]
    };
    if let Some(thread) = session::thread_or_new() {
        thread.call = Call {
            handle: if is_ring { second } else { first },
            buffer: if is_ring { sixth } else { second },
            told,
            begun: 0,
            library: cookie::library(place),
            pad: 0,
        };
    }
    0
}

/// A record was opened.
#[uretprobe]
pub fn aead_opened(context: RetProbeContext) -> u32 {
    opened::<true>(&context);
    0
}

/// The same for kernels without `bpf_loop`.
#[uretprobe]
pub fn aead_opened_bounded(context: RetProbeContext) -> u32 {
    opened::<false>(&context);
    0
}

/// No TLS, or no application data.
const OTHER: u64 = 0;
/// TLS 1.2: the additional data names the content type.
const PLAIN: u64 = 1;
/// TLS 1.3: the content type is behind the plaintext.
const INNER: u64 = 2;

/// What additional data says about the record.
#[inline(always)]
fn additional(data: u64, len: u64) -> u64 {
    match len {
        5 => match read_user::<[u8; 5]>(data) {
            Some([APPLICATION_DATA, 3, 3, ..]) => INNER,
            _ => OTHER,
        },
        // Sequence number, then type and version.
        13 => match read_user::<[u8; 3]>(data + 8) {
            Some([APPLICATION_DATA, 3, 3]) => PLAIN,
            _ => OTHER,
        },
        _ => OTHER,
    }
}

/// Length of the application data in `len` bytes of plaintext; 0 when it is something else.
#[inline(always)]
fn data_len(kind: u64, text: u64, len: u64) -> u64 {
    if kind != INNER || len == 0 {
        return if kind == PLAIN { len } else { 0 };
    }
    match read_user::<u8>(text + len - 1) {
        Some(APPLICATION_DATA) => len - 1,
        Some(0) if len > PADDING => match read_user::<u8>(text + len - 1 - PADDING) {
            Some(APPLICATION_DATA) => len - 1 - PADDING,
            _ => 0,
        },
        _ => 0,
    }
}

#[inline(always)]
fn seal<const LOOP: bool>(context: &ProbeContext) {
    if is_self(ids().0) {
        return;
    }
    let place = tls::place(context);
    let stack = register!(context, rsp);
    let (first, second, fourth) = (
        register!(context, rdi),
        register!(context, rsi),
        register!(context, rcx),
    );
    let (fifth, sixth) = (register!(context, r8), register!(context, r9));
    let (handle, text, len, kind) = match cookie::form(place) {
        form::AEAD_SEAL => {
            let Some([text, len, data, data_len]) = read_user::<[u64; 4]>(stack + 8) else {
                return;
            };
            (first, text, len, additional(data, data_len))
        }
        form::AEAD_SEAL_SCATTER => {
            let Some([text, len, extra, extra_len, data, data_len]) =
                read_user::<[u64; 6]>(stack + 16)
            else {
                return;
            };
            let mut kind = additional(data, data_len);
            if kind == INNER && extra_len == 1 {
                // The content type is apart.
                kind = match read_user::<u8>(extra) {
                    Some(APPLICATION_DATA) => PLAIN,
                    _ => OTHER,
                };
            }
            (first, text, len, kind)
        }
        _ => {
            let Some(len) = read_user::<u64>(stack + 8) else {
                return;
            };
            (second, sixth, len, additional(fourth, fifth))
        }
    };
    let len = data_len(kind, text, len);
    if len != 0 {
        let call = Call {
            handle,
            buffer: text,
            library: cookie::library(place),
            ..Call::NONE
        };
        tls::heard::<LOOP>(&call, end::WRITE, len, Kind::Half);
    }
}

#[inline(always)]
fn opened<const LOOP: bool>(context: &RetProbeContext) {
    let Some(thread) = session::thread() else {
        return;
    };
    let call = thread.call;
    thread.call = Call::NONE;
    if call.handle == 0 || is_self(ids().0) {
        return;
    }
    let result = context.ret::<u64>();
    let [told, kind] = call.told;
    let len = if cookie::form(tls::place(context)) == form::RING_OPEN {
        match read_user::<u8>(result) {
            Some(0) => told,
            _ => 0,
        }
    } else if result as i32 == 1 {
        read_user(told).unwrap_or(0)
    } else {
        0
    };
    let len = data_len(kind, call.buffer, len);
    if len != 0 {
        tls::heard::<LOOP>(&call, end::READ, len, Kind::Half);
    }
}
