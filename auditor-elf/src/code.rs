//! What machine code tells: where to put a probe at a function's begin, where it returns, whom it calls.
//!
//! Decodes only what it is given; the caller bounds it. Knows nothing of TLS.

use std::collections::HashSet;

use iced_x86::{Code, Decoder, DecoderOptions, FlowControl, Instruction, Register};

use crate::{
    image::{Function, Image},
    library::{Call, Role, Site},
};

/// Instructions looked at when a function's end is not known.
const MAX_WALK: usize = 4096;

/// Calls looked at in one function.
const MAX_CALLS: usize = 256;

/// The instructions of a function.
pub(crate) fn instructions(function: &Function<'_>) -> impl Iterator<Item = Instruction> {
    Decoder::with_ip(64, function.code, function.address, DecoderOptions::NONE).into_iter()
}

/// The offset at which a function is entered with its arguments and its return address in place.
///
/// After an `endbr64`, which a probe would have to single-step: what follows is mostly a `push`, which the kernel
/// emulates at a tenth of the cost.
pub(crate) fn entry(function: &Function<'_>) -> u64 {
    match instructions(function).next() {
        Some(first) if first.code() == Code::Endbr64 => function.offset + first.len() as u64,
        _ => function.offset,
    }
}

/// The sites that hear a call with its result: where it is entered, and its return by way of the same place.
pub(crate) fn enter_and_return(function: &Function<'_>, call: Call) -> [Site; 2] {
    let offset = entry(function);
    [Role::Enter(call), Role::Return(call)].map(|role| Site { offset, role })
}

/// The only place a function goes on to, when it does nothing but hand on its arguments.
pub(crate) fn tail_target(function: &Function<'_>) -> Option<u64> {
    let last = instructions(function)
        .take(8)
        .find(|at| at.flow_control() != FlowControl::Next)?;
    (last.flow_control() == FlowControl::UnconditionalBranch).then(|| last.near_branch_target())
}

/// A call of another function, with the argument that points into the caller's frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Callee {
    pub(crate) address: u64,
    /// `rcx` or `r8`, whichever was last made to point into the frame on the straight way to the call.
    pub(crate) out: Option<Register>,
}

/// The functions that a function calls directly; at most [`MAX_CALLS`] of them.
pub(crate) fn callees(function: &Function<'_>) -> Vec<Callee> {
    let mut out = None;
    let mut found = Vec::new();
    for instruction in instructions(function) {
        if found.len() == MAX_CALLS {
            break;
        }
        match instruction.flow_control() {
            FlowControl::Call => {
                found.push(Callee {
                    address: instruction.near_branch_target(),
                    out: out.take(),
                });
            }
            FlowControl::Next => out = frame_pointer(&instruction).or(out),
            _ => out = None,
        }
    }
    found
}

/// The instructions that a function may execute itself, in no order; at most [`MAX_WALK`] of them.
///
/// For functions whose end is not known: follows branches instead of running on into what stands behind. Does not
/// follow calls and computed jumps, and stops where `begins` knows another function.
pub(crate) fn walk(
    image: &Image<'_>,
    start: u64,
    begins: impl Fn(u64) -> bool,
) -> Vec<Instruction> {
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    let mut waiting = vec![start];
    while let Some(begin) = waiting.pop() {
        let Some(block) = image.function(begin, 0) else {
            continue;
        };
        for instruction in instructions(&block) {
            let at = instruction.ip();
            let other = at != start && begins(at);
            if other || instruction.is_invalid() || found.len() == MAX_WALK || !seen.insert(at) {
                break;
            }
            found.push(instruction);
            match instruction.flow_control() {
                FlowControl::Next | FlowControl::Call | FlowControl::IndirectCall => {}
                FlowControl::ConditionalBranch => waiting.push(instruction.near_branch_target()),
                FlowControl::UnconditionalBranch => {
                    waiting.push(instruction.near_branch_target());
                    break;
                }
                _ => break,
            }
        }
    }
    found
}

/// The fourth or fifth argument register, when this instruction makes it point into the frame.
fn frame_pointer(instruction: &Instruction) -> Option<Register> {
    let from_frame = match instruction.code() {
        Code::Lea_r64_m => matches!(instruction.memory_base(), Register::RSP | Register::RBP),
        Code::Mov_r64_rm64 | Code::Mov_rm64_r64 => instruction.op1_register() == Register::RSP,
        _ => false,
    };
    let target = instruction.op0_register();
    (from_frame && matches!(target, Register::RCX | Register::R8)).then_some(target)
}
