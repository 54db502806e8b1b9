//! Go's `crypto/tls`: `(*Conn).Write` and `(*Conn).Read`, stripped or not, at whatever address.
//!
//! Probes what leads out and nothing else: goroutines change threads between entering and returning, their stacks
//! move, and a uretprobe's changed return address would kill them. So buffer and connection are read where the
//! function keeps them on its stack, which [`frame`] proves for each place by itself.
//!
//! Go 1.18 on: older ones pass arguments in another way. Does not find copies of the package under another path.
//!
//! Provenance: runtime/symtab.go and debug/gosym/pclntab.go of Go 1.26; checked against programs built with
//! Go 1.18 to 1.26, stripped and position-independent.

mod frame;
mod pclntab;

use iced_x86::{Mnemonic, Register};

use self::pclntab::Table;
use crate::{
    Call, Count, Library, Refusal, Role, Site, Stack, code,
    fuzz::Elf,
    image::{Function, Image},
};

const WRITE: &str = "crypto/tls.(*Conn).Write";
const READ: &str = "crypto/tls.(*Conn).Read";
/// What they call to move the bytes, inlined or not.
const WRITE_MOVES: [&str; 1] = ["crypto/tls.(*Conn).writeRecordLocked"];
const READ_MOVES: [&str; 2] = ["runtime.memmove", "bytes.(*Reader).Read"];
/// They keep every register but r11 (runtime/asm_amd64.s, since Go 1.21).
const BARRIERS: [&str; 8] = [
    "runtime.gcWriteBarrier1",
    "runtime.gcWriteBarrier2",
    "runtime.gcWriteBarrier3",
    "runtime.gcWriteBarrier4",
    "runtime.gcWriteBarrier5",
    "runtime.gcWriteBarrier6",
    "runtime.gcWriteBarrier7",
    "runtime.gcWriteBarrier8",
];
/// They never return (runtime/panic.go, runtime/asm_amd64.s): of Go 1.26, and of earlier versions.
const PANICS: [&str; 10] = [
    "runtime.panicBounds",
    "runtime.panicIndex",
    "runtime.panicIndexU",
    "runtime.panicSliceAlen",
    "runtime.panicSliceAlenU",
    "runtime.panicSliceAcap",
    "runtime.panicSliceAcapU",
    "runtime.panicSliceB",
    "runtime.panicSliceBU",
    "runtime.gopanic",
];
/// How the linker's record of the compiler's version begins; flags and its length follow.
const BUILD_INFO: &[u8] = b"\xff Go buildinf:\x08";

/// What is looked for in the file.
pub(super) const TEXTS: &[&[u8]] = &[pclntab::MAGICS[0], pclntab::MAGICS[1], BUILD_INFO];

pub(super) fn recognise(image: &Image<'_>) -> Option<Library> {
    let table = Table::find(image)?;
    if !table.has(WRITE) && !table.has(READ) {
        return None;
    }
    let version = version(image);
    Some(match sites(image, &table) {
        Ok(sites) => Library::new(Stack::Go, version, sites),
        Err(why) => Library::refused(Stack::Go, version, why),
    })
}

fn sites(image: &Image<'_>, table: &Table<'_>) -> Result<Vec<Site>, Refusal> {
    let text = table.text(image).ok_or(Refusal::Missing {
        function: "runtime.text",
    })?;
    let write = |[connection, buffer]: [u16; 2], count| Call::GoWrite {
        connection,
        buffer,
        count,
    };
    let read = |[connection, buffer]: [u16; 2], count| Call::GoRead {
        connection,
        buffer,
        count,
    };
    let mut sites = exits(image, table, text, (WRITE, &WRITE_MOVES), write)?;
    sites.extend(exits(image, table, text, (READ, &READ_MOVES), read)?);
    Ok(sites)
}

/// Probes on the way out of `name`, for all of its returns that may tell of bytes; `moving` are the functions it calls
/// to move them.
fn exits(
    image: &Image<'_>,
    table: &Table<'_>,
    text: u64,
    (name, moving): (&'static str, &[&'static str]),
    call: impl Fn([u16; 2], Count) -> Call,
) -> Result<Vec<Site>, Refusal> {
    let refuse = |why| Refusal::Code {
        function: name,
        why,
    };
    let (start, size) = table.function(name)?;
    let address = text
        .checked_add(start)
        .ok_or(refuse("its address overflows"))?;
    let function = image
        .function(address, size)
        .filter(|found| found.sized)
        .ok_or(refuse("it is not in the file"))?;
    if !asks_for_stack(&function) {
        return Err(refuse("it does not begin by asking for stack"));
    }
    let addresses = |names: &[&'static str]| -> Vec<u64> {
        let starts = names.iter().filter_map(|name| table.function(name).ok());
        starts
            .filter_map(|(start, _)| text.checked_add(start))
            .collect()
    };
    let callees = frame::Callees {
        moving: addresses(moving),
        keeping: addresses(&BARRIERS),
        ending: addresses(&PANICS),
    };
    let arguments = [Register::RAX, Register::RBX];
    let exits = frame::exits(&function, arguments, &callees).map_err(refuse)?;
    let site = |exit: &frame::Exit| Site {
        offset: function.offset + exit.inside,
        role: Role::Ret(call(exit.slots, exit.count)),
    };
    Ok(exits.iter().map(site).collect())
}

/// Whether it begins as every function of Go does that needs more stack than a little: by comparing with the limit of
/// the goroutine in r14. Another begin means that the address is not where the function is.
fn asks_for_stack(function: &Function<'_>) -> bool {
    code::instructions(function).take(2).any(|first| {
        first.mnemonic() == Mnemonic::Cmp
            && first.memory_base() == Register::R14
            && first.memory_displacement64() == 16
    })
}

/// "go1.26.8", from 1.18 on written out in the file.
fn version(image: &Image<'_>) -> Option<String> {
    let at = *image.places(BUILD_INFO).first()?;
    let length = *image.bytes().get(at + 32)?;
    let text = image.bytes().get(at + 33..)?.get(..length.into())?;
    let text = std::str::from_utf8(text).ok()?;
    (length < 0x80
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() || byte == b' '))
    .then(|| text.to_owned())
}

/// A Go program as far as this module looks at it.
pub(super) fn sample(elf: &mut Elf) {
    let text = elf.next();
    // cmp rsp, [r14+16]; push rbp; sub rsp, 16; mov [rsp+32], rax; mov [rsp+40], rbx; call; add rsp, 16; pop rbp; ret
    let code = b"\x49\x3b\x66\x10\x55\x48\x83\xec\x10\x48\x89\x44\x24\x20\x48\x89\x5c\x24\x28\xe8\0\0\0\0\x48\x83\xc4\x10\x5d\xc3";
    let starts =
        [elf.function("", code), elf.function("", code)].map(|address| (address - text) as u32);
    elf.section(
        ".gopclntab",
        &pclntab::sample(
            text,
            &[(WRITE, starts[0]), (READ, starts[1])],
            starts[1] + 30,
        ),
    );
    elf.section(
        ".go.buildinfo",
        b"\xff Go buildinf:\x08\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x08go1.26.8",
    );
}

#[cfg(test)]
mod tests;
