//! Which functions report which errors, in libraries of OpenSSL's family that were stripped.
//!
//! Such a function names its source file and gives a line and a reason whenever it fails; that remains when symbols
//! are gone. Knows no library in particular. Bounds: [`MAX_REFERENCES`], [`MAX_BEGINS`],
//! [`MAX_WALKED`], and those of [`code::walk`].

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use iced_x86::{Code, FlowControl, Instruction, Register};

use crate::{code, fuzz::Elf, image::Image, search::Piece};

/// Places that name the file; BoringSSL's largest one has about 50.
const MAX_REFERENCES: usize = 1024;
/// Instructions of functions gone through; Bun's BoringSSL needs a hundredth of it.
const MAX_WALKED: usize = 1 << 18;
/// Begins of functions near those places; more are not looked at.
const MAX_BEGINS: usize = 1 << 17;
/// Begins tried for one place that names the file.
const MAX_TRIES: usize = 16;
/// How far a function's begin is looked for; a power of two.
const REACH: u64 = 1 << 15;
/// Instructions around the file's name that set the other arguments of the report.
const NEAR: usize = 10;

/// A function, and what it reports.
#[derive(Clone, Debug)]
pub(crate) struct Reporter {
    /// Where it begins.
    pub(crate) address: u64,
    /// What it may execute, by address.
    pub(crate) code: BTreeMap<u64, Instruction>,
    /// Reason and line of each report; the line is not always known.
    pub(crate) reports: Vec<(u32, Option<u32>)>,
}

impl Reporter {
    /// Whether it reports exactly these reasons.
    pub(crate) fn reasons(&self, reasons: &[u32]) -> bool {
        let own: BTreeSet<u32> = self.reports.iter().map(|(reason, _)| *reason).collect();
        own.into_iter()
            .eq(BTreeSet::from_iter(reasons.iter().copied()))
    }

    /// The lines of its reports.
    pub(crate) fn lines(&self) -> impl Iterator<Item = u32> {
        self.reports.iter().filter_map(|(_, line)| *line)
    }
}

/// The functions that report errors from a source file whose path ends so, by address.
pub(crate) fn reporters(image: &Image<'_>, file: &'static str) -> Vec<Reporter> {
    let names = image.texts_ending(file);
    let mut references = Vec::new();
    // No code need be gone through for a name that is not there.
    let code = image.code().take_while(|_| !names.is_empty());
    for (address, piece) in code {
        let found = names
            .iter()
            .flat_map(|name| references_to(*name, address, piece));
        references.extend(found.take(MAX_REFERENCES));
    }
    references.sort_unstable();
    references.truncate(MAX_REFERENCES);
    if references.is_empty() {
        return Vec::new();
    }
    let begins = begins(image, &references);
    let mut walked: BTreeMap<u64, BTreeMap<u64, Instruction>> = BTreeMap::new();
    let mut found: BTreeMap<u64, Vec<_>> = BTreeMap::new();
    let mut room = MAX_WALKED;
    for reference in references {
        for begin in begins.range(..=reference).rev().take(MAX_TRIES) {
            let function = match walked.entry(*begin) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(_) if room == 0 => break,
                Entry::Vacant(new) => {
                    let code = code::walk(image, *begin, |at| begins.contains(&at));
                    room = room.saturating_sub(code.len());
                    new.insert(
                        code.into_iter()
                            .map(|instruction| (instruction.ip(), instruction))
                            .collect(),
                    )
                }
            };
            if function.contains_key(&reference) {
                let reports = found.entry(*begin).or_default();
                reports.extend(report(function, reference));
                break;
            }
        }
    }
    found
        .into_iter()
        .filter_map(|(address, reports)| {
            Some(Reporter {
                address,
                code: walked.remove(&address)?,
                reports,
            })
        })
        .collect()
}

/// The places in a piece of code that load the address `name` as the fourth argument, which names the file.
fn references_to(name: u64, address: u64, piece: Piece<'_>) -> Vec<u64> {
    // lea rcx, [rip + x]
    let relative = memchr::memmem::find_iter(piece.reaching(3), b"\x48\x8d\x0d")
        .map(|at| at as u64)
        .filter(|at| {
            let distance = piece
                .rest
                .get(*at as usize + 3..)
                .and_then(<[u8]>::first_chunk)
                .map(|at| i32::from_le_bytes(*at));
            let next = address.wrapping_add(*at + 7);
            distance.is_some_and(|distance| next.wrapping_add_signed(distance.into()) == name)
        });
    // mov ecx, x
    let absolute = u32::try_from(name)
        .ok()
        .map(|name| [&b"\xb9"[..], &name.to_le_bytes()].concat());
    let absolute: Vec<u64> = absolute
        .map(|needle| {
            memchr::memmem::find_iter(piece.reaching(needle.len()), &needle)
                .map(|at| at as u64)
                .collect()
        })
        .unwrap_or_default();
    relative
        .chain(absolute)
        .take(MAX_REFERENCES)
        .map(|at| address.wrapping_add(at))
        .collect()
}

/// Where functions begin, at most [`REACH`] before a reference: what is called, or what a relocated pointer names.
pub(crate) fn begins(image: &Image<'_>, references: &[u64]) -> BTreeSet<u64> {
    let pages = references
        .iter()
        .flat_map(|at| [(at / REACH).saturating_sub(1), at / REACH]);
    let pages: Vec<u64> = BTreeSet::from_iter(pages).into_iter().collect();
    let near = |target: &u64| pages.binary_search(&(target / REACH)).is_ok();
    let mut found: BTreeSet<u64> = image
        .relative_targets()
        .filter(near)
        .take(MAX_BEGINS)
        .collect();
    for (_, target) in calls(image) {
        if near(&target) && found.len() <= MAX_BEGINS {
            found.insert(target);
        }
    }
    found.retain(|begin| image.before(*begin).is_some_and(ends_a_function));
    found
}

/// What looks like a call: its place, and what it calls. Bytes within other instructions look so, too.
pub(crate) fn calls(image: &Image<'_>) -> impl Iterator<Item = (u64, u64)> {
    image.code().flat_map(|(address, piece)| {
        memchr::memchr_iter(0xe8, piece.reaching(1)).filter_map(move |at| {
            let distance = piece.rest.get(at + 1..).and_then(<[u8]>::first_chunk)?;
            let place = address.wrapping_add(at as u64);
            let next = place.wrapping_add(5);
            Some((
                place,
                next.wrapping_add_signed(i32::from_le_bytes(*distance).into()),
            ))
        })
    })
}

/// Whether code could end so: by a return, a jump, a call that never returns, a trap, or what fills gaps.
fn ends_a_function(before: &[u8; 8]) -> bool {
    match before {
        [.., 0xc3 | 0xcc | 0x90 | 0xf4] | [.., 0x0f, 0x0b] | [.., 0xeb, _] => true,
        [.., 0xe8 | 0xe9, _, _, _, _] | [.., 0xff, 0xe0..=0xe7] => true,
        // The longer forms of nop.
        [.., 0x0f, 0x1f, 0x00] | [.., 0x0f, 0x1f, 0x40, 0] | [.., 0x0f, 0x1f, 0x44, 0, 0] => true,
        [.., 0x0f, 0x1f, 0x80, 0, 0, 0, 0] | [0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0] => true,
        _ => false,
    }
}

/// Reason and line that go with the file's name: third and fifth argument when the straight piece of code around it
/// ends.
fn report(function: &BTreeMap<u64, Instruction>, reference: u64) -> Option<(u32, Option<u32>)> {
    let before = function
        .range(..reference)
        .rev()
        .take(NEAR)
        .map(|(_, instruction)| instruction);
    let before: Vec<_> = before
        .take_while(|instruction| instruction.flow_control() == FlowControl::Next)
        .collect();
    let mut constants = Constants::default();
    before
        .into_iter()
        .rev()
        .for_each(|instruction| constants.step(instruction));
    for (_, instruction) in function.range(reference..).take(NEAR) {
        if instruction.flow_control() != FlowControl::Next {
            break;
        }
        constants.step(instruction);
    }
    Some((constants.reason?, constants.line))
}

/// What two argument registers hold.
#[derive(Default)]
struct Constants {
    reason: Option<u32>,
    line: Option<u32>,
    pushed: Option<u32>,
}

impl Constants {
    fn step(&mut self, instruction: &Instruction) {
        let value = match instruction.code() {
            Code::Mov_r32_imm32 => Some(instruction.immediate32()),
            Code::Pushq_imm8 | Code::Pushq_imm32 => {
                self.pushed = u32::try_from(instruction.immediate(0)).ok();
                return;
            }
            Code::Pop_r64 => self.pushed.take(),
            _ => None,
        };
        if instruction.op_count() == 0 {
            return;
        }
        match instruction.op0_register().full_register() {
            Register::RDX => self.reason = value,
            Register::R8 => self.line = value,
            _ => {}
        }
    }
}

/// Adds a function that reports these reasons and lines from the file whose name is at `file`, is called, and ends with
/// `rest`; gives its address.
pub(crate) fn sample(elf: &mut Elf, file: u64, reports: &[(u8, u32)], rest: &[u8]) -> u64 {
    let err = elf.function("", b"\xc3");
    let at = elf.next();
    // push rbp
    let mut body = vec![0x55];
    for (reason, line) in reports {
        // lea rcx, [rip + x]; mov edx, reason; mov r8d, line; call
        let near = |to: u64, next: usize| (to.wrapping_sub(at + next as u64) as u32).to_le_bytes();
        body.extend_from_slice(b"\x48\x8d\x0d");
        body.extend_from_slice(&near(file, body.len() + 4));
        body.extend_from_slice(&[0xba, *reason, 0, 0, 0, 0x41, 0xb8]);
        body.extend_from_slice(&line.to_le_bytes());
        body.push(0xe8);
        body.extend_from_slice(&near(err, body.len() + 4));
    }
    body.extend_from_slice(rest);
    let address = elf.function("", &body);
    let caller = elf.next();
    let distance = (address.wrapping_sub(caller + 5) as u32).to_le_bytes();
    elf.function("", &[&[0xe8], &distance[..], &[0xc3]].concat());
    address
}

#[cfg(test)]
mod tests;
