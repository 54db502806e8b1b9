//! One place before a function's returns that is passed once on the way to each of them, tells the same result, and
//! costs little to probe.
//!
//! The kernel carries out jumps, calls and `nop` itself; any other instruction it has the processor step through, which
//! takes up to thirty times as long, and a return is one of these. The place is proven: on every way from the begin to
//! the returns that it stands for it is passed once, after the bytes were moved, and what is returned there is what one
//! register has here, or that and a number on the stack. The other returns are probed themselves. Bounds:
//! [`MAX_TRIED`], [`MAX_ADDED`], [`BEFORE`], [`MAX_STEPS`].

use std::collections::HashSet;

use iced_x86::{Code, FlowControl, Instruction, InstructionInfoFactory, OpKind, Register};

use super::{
    Callees, Exit, MAX_STEPS, branch_target, follow, next,
    state::{Held, State, bit},
};
use crate::Count;

/// Places that are tried, from the last one.
const MAX_TRIED: usize = 32;
/// Numbers on the stack that may be part of a result.
const MAX_ADDED: usize = 4;
/// Instructions before a place that may have put its value on the stack, too.
const BEFORE: usize = 8;
/// Where the kernel side can find a result.
const REGISTERS: [Register; 6] = [
    Register::RAX,
    Register::RCX,
    Register::RDX,
    Register::RBX,
    Register::RSI,
    Register::RDI,
];

/// The place that stands for most of the returns that may tell of bytes, and those it stands for.
pub(super) fn find(
    code: &[Instruction],
    states: &[Option<State>],
    returns: &[usize],
    callees: &Callees,
) -> Option<(Exit, Vec<usize>)> {
    let moving: Vec<usize> = (0..code.len())
        .filter(|at| {
            code[*at].flow_control() == FlowControl::Call
                && callees.moving.contains(&code[*at].near_branch_target())
        })
        .collect();
    // The returns that are reached by way of the place alone, once, with all bytes moved before.
    let covered = |at: usize| -> Option<Vec<usize>> {
        let past = reached(code, [0], Some(at), callees);
        let after = after(code, at, callees);
        let (others, own): (Vec<usize>, Vec<usize>) =
            returns.iter().partition(|at| past.contains(at));
        let is_once = !after.contains(&at) && others.iter().all(|at| !after.contains(at));
        let is_moved = !moving.is_empty() && moving.iter().all(|at| !after.contains(at));
        (is_once && is_moved && !own.is_empty()).then_some(own)
    };
    let places = (1..code.len())
        .rev()
        .filter(|at| states[*at].is_some() && is_cheap(&code[*at]))
        .filter_map(|at| Some((at, covered(at)?)));
    let added = numbers(code, states);
    let mut steps = MAX_STEPS;
    for (at, covered) in places.take(MAX_TRIED) {
        let state = states[at].as_ref()?;
        let above = |number: usize| state.held.get(number)?.above(state.depth);
        let Some(slots) = above(0).zip(above(1)) else {
            continue;
        };
        for register in REGISTERS {
            for extra in std::iter::once(None).chain(added.iter().copied().map(Some)) {
                let count = match extra {
                    None => Some(Count::in_register(register)),
                    Some(slot) => Count::with(register, slot + state.depth),
                };
                let value = (register, extra);
                if let Some(count) = count
                    && is_returned(code, at, state.depth, value, callees, &mut steps)
                {
                    let exit = Exit {
                        inside: code[at].ip().wrapping_sub(code[0].ip()),
                        slots: slots.into(),
                        count,
                    };
                    return Some((exit, covered));
                }
            }
        }
    }
    None
}

/// Whether every return after `at` gives what the register has there, and with it the number in that slot.
fn is_returned(
    code: &[Instruction],
    at: usize,
    depth: i64,
    (register, extra): (Register, Option<i64>),
    callees: &Callees,
    steps: &mut usize,
) -> bool {
    let value = Held {
        registers: bit(register),
        slots: copies(code, at, register, depth),
    };
    let mut held = vec![value];
    if let Some(slot) = extra {
        let number = Held {
            registers: 0,
            slots: vec![slot],
        };
        held.extend([number, Held::default()]);
    }
    let begin = State {
        depth,
        held,
        zero: Held::default(),
    };
    let Ok(states) = follow(code, at, begin, callees, steps) else {
        return false;
    };
    let mut returns = code.iter().zip(&states).filter_map(|(instruction, state)| {
        (instruction.flow_control() == FlowControl::Return).then_some(state.as_ref()?)
    });
    returns.all(|state| {
        state
            .held
            .last()
            .is_some_and(|held| held.has(Register::RAX))
    })
}

/// The places on the stack where a register was put right before `at`.
fn copies(code: &[Instruction], at: usize, register: Register, depth: i64) -> Vec<i64> {
    let is_straight = |place: &usize| {
        let next = Some(code[place + 1].ip());
        code[*place].flow_control() == FlowControl::Next
            && !code.iter().any(|other| branch_target(other) == next)
    };
    let straight = (at.saturating_sub(BEFORE)..at)
        .rev()
        .take_while(is_straight);
    let first = straight.last().unwrap_or(at);
    let value = || Held {
        registers: bit(register),
        slots: Vec::new(),
    };
    let mut state = State {
        depth,
        held: vec![value()],
        zero: Held::default(),
    };
    let mut info = InstructionInfoFactory::new();
    for instruction in &code[first..at] {
        if state.step(instruction, &[], &mut info).is_err() || state.depth != depth {
            return Vec::new();
        }
        if !state.held[0].has(register) {
            // It has a new value: what was put away was another one.
            state.held[0] = value();
        }
    }
    state.held.remove(0).slots
}

/// Slots that are loaded right before they are added to something.
fn numbers(code: &[Instruction], states: &[Option<State>]) -> Vec<i64> {
    let mut found = Vec::new();
    for (at, instruction) in code.iter().enumerate() {
        let is_add = matches!(instruction.code(), Code::Add_r64_rm64 | Code::Add_rm64_r64)
            && instruction.op0_kind() == OpKind::Register
            && instruction.op1_kind() == OpKind::Register;
        if !is_add {
            continue;
        }
        for before in at.saturating_sub(2)..at {
            let load = &code[before];
            let is_load = load.code() == Code::Mov_r64_rm64
                && load.op1_kind() == OpKind::Memory
                && load.memory_base() == Register::RSP
                && load.memory_index() == Register::None
                && [instruction.op0_register(), instruction.op1_register()]
                    .contains(&load.op0_register());
            if let (true, Some(state)) = (is_load, &states[before]) {
                let slot = (load.memory_displacement64() as i64).wrapping_sub(state.depth);
                if !found.contains(&slot) {
                    found.push(slot);
                }
            }
        }
    }
    found.truncate(MAX_ADDED);
    found
}

/// What may be executed after an instruction.
fn after(code: &[Instruction], at: usize, callees: &Callees) -> HashSet<usize> {
    let next = next(code, at, callees).into_iter().flatten();
    reached(code, next, None, callees)
}

/// What may be executed from some places on, without going through `avoided`.
fn reached(
    code: &[Instruction],
    starts: impl IntoIterator<Item = usize>,
    avoided: Option<usize>,
    callees: &Callees,
) -> HashSet<usize> {
    let mut found = HashSet::new();
    let mut waiting: Vec<usize> = starts.into_iter().collect();
    while let Some(at) = waiting.pop() {
        if at < code.len() && Some(at) != avoided && found.insert(at) {
            waiting.extend(next(code, at, callees).into_iter().flatten());
        }
    }
    found
}

/// Whether the kernel carries it out itself: since Linux 3.16, for every form of these.
fn is_cheap(instruction: &Instruction) -> bool {
    let plain = match instruction.code() {
        Code::Jmp_rel8_64 | Code::Nopd => instruction.len() <= 2,
        Code::Jmp_rel32_64 | Code::Call_rel32_64 => instruction.len() == 5,
        _ if instruction.is_jcc_short() => instruction.len() == 2,
        _ if instruction.is_jcc_near() => instruction.len() == 6,
        _ => false,
    };
    plain && !instruction.is_invalid()
}
