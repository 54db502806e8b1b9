//! Where a Go function keeps two of its arguments on its stack, proven for each place that tells of its result.
//!
//! Follows both registers from the function's begin through copies, spills and joins; what is not on every way there
//! is not believed. Such a place is each of its returns, or one before them all that is cheap to probe (see [`early`]).
//! Knows nothing of what the arguments mean. Bounds: [`MAX_INSTRUCTIONS`], [`MAX_STEPS`].

mod early;
mod state;

use std::collections::HashSet;

use iced_x86::{FlowControl, Instruction, InstructionInfoFactory, Mnemonic, Register};

use self::state::{Held, State, bit};
use crate::{Count, code, image::Function};

/// Instructions of a function; `(*Conn).Write` has about 500.
const MAX_INSTRUCTIONS: usize = 4096;
/// Instructions gone through until nothing changes any more; a few times their number is usual.
const MAX_STEPS: usize = 32 * MAX_INSTRUCTIONS;

/// A place on the way out of the function where its frame still stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Exit {
    /// Counted from the function's begin; never 0, where a probe would be hit again when the stack grows.
    pub(super) inside: u64,
    /// Where the arguments are, counted from `rsp`.
    pub(super) slots: [u16; 2],
    /// Where its result is.
    pub(super) count: Count,
}

/// The functions that a function calls, by what they do.
#[derive(Clone, Debug, Default)]
pub(super) struct Callees {
    /// They move the bytes that the result counts.
    pub(super) moving: Vec<u64>,
    /// They keep every register but r11.
    pub(super) keeping: Vec<u64>,
    /// They never return.
    pub(super) ending: Vec<u64>,
}

/// The ways out of a function which may return something else than 0, each with the places of both arguments.
pub(super) fn exits(
    function: &Function<'_>,
    arguments: [Register; 2],
    callees: &Callees,
) -> Result<Vec<Exit>, &'static str> {
    let code: Vec<Instruction> = code::instructions(function)
        .take(MAX_INSTRUCTIONS + 1)
        .collect();
    if code.len() > MAX_INSTRUCTIONS {
        return Err("it is too long");
    }
    let held = arguments.map(|register| Held {
        registers: bit(register),
        slots: Vec::new(),
    });
    let begin = State {
        depth: 0,
        held: held.to_vec(),
        zero: Held::default(),
    };
    let mut steps = MAX_STEPS;
    let states = follow(&code, 0, begin, callees, &mut steps)?;
    let targets: HashSet<u64> = code.iter().filter_map(branch_target).collect();
    let (mut exits, mut returns, mut cheap) = (Vec::new(), Vec::new(), Vec::new());
    for (at, state) in states.iter().enumerate() {
        if state.is_none() || code[at].flow_control() != FlowControl::Return {
            continue;
        }
        let site = unwinding(&code, &targets, at)?;
        let state = states[site]
            .as_ref()
            .ok_or("a return is not reached by its epilogue")?;
        if state.zero.has(Register::RAX) {
            continue;
        }
        let places = state.held[0]
            .above(state.depth)
            .zip(state.held[1].above(state.depth));
        let (first, second) = places.ok_or("an argument is not on the stack at a return")?;
        let inside = code[site].ip().wrapping_sub(function.address);
        if inside == 0 {
            return Err("it returns at once");
        }
        returns.push(at);
        exits.push(Exit {
            inside,
            slots: [first, second],
            count: Count::RAX,
        });
    }
    while let Some((early, covered)) = early::find(&code, &states, &returns, callees) {
        let is_left = |at: &usize| !covered.contains(at);
        let mut left = returns.iter().map(is_left);
        exits.retain(|_| left.next().unwrap_or(true));
        returns.retain(is_left);
        cheap.push(early);
    }
    exits.append(&mut cheap);
    if exits.is_empty() {
        Err("it never returns")
    } else {
        Ok(exits)
    }
}

/// The first instruction that takes down the frame before the return at `at`.
fn unwinding(
    code: &[Instruction],
    targets: &HashSet<u64>,
    at: usize,
) -> Result<usize, &'static str> {
    let mut site = at;
    while site > 0 && takes_down(&code[site - 1]) {
        if targets.contains(&code[site].ip()) {
            return Err("a branch leads into an epilogue");
        }
        site -= 1;
    }
    Ok(site)
}

fn takes_down(instruction: &Instruction) -> bool {
    match instruction.mnemonic() {
        // The assembler puts a nop anywhere for alignment; one before the rest is the cheapest to probe.
        Mnemonic::Pop | Mnemonic::Nop => true,
        Mnemonic::Add | Mnemonic::Sub => instruction.op0_register() == Register::RSP,
        _ => false,
    }
}

fn branch_target(instruction: &Instruction) -> Option<u64> {
    matches!(
        instruction.flow_control(),
        FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch
    )
    .then(|| instruction.near_branch_target())
}

/// What is known before each instruction, when this is known before the one at `start`; nothing where it is never
/// reached from there. Takes at most `steps`.
fn follow(
    code: &[Instruction],
    start: usize,
    state: State,
    callees: &Callees,
    steps: &mut usize,
) -> Result<Vec<Option<State>>, &'static str> {
    let mut states = vec![None; code.len()];
    *states.get_mut(start).ok_or("it is empty")? = Some(state);
    let mut waiting = vec![start];
    let mut info = InstructionInfoFactory::new();
    while *steps > 0 {
        *steps -= 1;
        let Some(at) = waiting.pop() else {
            return Ok(states);
        };
        let (instruction, Some(mut state)) = (&code[at], states[at].clone()) else {
            continue;
        };
        state.step(instruction, &callees.keeping, &mut info)?;
        for next in next(code, at, callees)? {
            let known = states.get_mut(next).ok_or("it runs past its end")?;
            if merge(known, &state)? {
                waiting.push(next);
            }
        }
    }
    Err("it is too complex")
}

/// The instructions that may follow one.
fn next(
    code: &[Instruction],
    at: usize,
    callees: &Callees,
) -> Result<impl Iterator<Item = usize> + use<>, &'static str> {
    let instruction = &code[at];
    let (target, next) = match instruction.flow_control() {
        FlowControl::Call => {
            let ends = callees.ending.contains(&instruction.near_branch_target());
            (None, !ends)
        }
        FlowControl::Next | FlowControl::IndirectCall => (None, true),
        FlowControl::ConditionalBranch => (branch_target(instruction), true),
        FlowControl::UnconditionalBranch => (branch_target(instruction), false),
        FlowControl::Return | FlowControl::Interrupt | FlowControl::Exception => (None, false),
        _ => return Err("it has a computed jump"),
    };
    let target = match target {
        Some(ip) => Some(
            code.binary_search_by_key(&ip, Instruction::ip)
                .map_err(|_| "it jumps out of itself")?,
        ),
        None => None,
    };
    Ok(target.into_iter().chain(next.then_some(at + 1)))
}

/// Keeps what holds on both ways; tells whether that changed what was known.
fn merge(known: &mut Option<State>, other: &State) -> Result<bool, &'static str> {
    let Some(state) = known else {
        *known = Some(other.clone());
        return Ok(true);
    };
    if state.depth != other.depth {
        return Err("its stack is of different depth on two ways");
    }
    let before = state.clone();
    for (held, other) in state.values().zip(other.held.iter().chain([&other.zero])) {
        held.registers &= other.registers;
        held.slots.retain(|slot| other.slots.contains(slot));
    }
    Ok(*state != before)
}
