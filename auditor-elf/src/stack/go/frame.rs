//! Where a Go function keeps two of its arguments on its stack, proven for each of its returns.
//!
//! Follows both registers from the function's begin through copies, spills and joins; what is not on every way to a
//! return is not believed. Knows nothing of what the arguments mean. Bounds: [`MAX_INSTRUCTIONS`], [`MAX_STEPS`],
//! [`MAX_SLOTS`].

use std::collections::HashSet;

use iced_x86::{
    Code, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register,
};

use crate::{code, image::Function};

/// Instructions of a function; `(*Conn).Write` has about 500.
const MAX_INSTRUCTIONS: usize = 4096;
/// Instructions gone through until nothing changes any more; a few times their number is usual.
const MAX_STEPS: usize = 32 * MAX_INSTRUCTIONS;
/// Places of one argument; the first ones are kept.
const MAX_SLOTS: usize = 8;

/// A place on the way out of the function where its frame still stands and its result is in `rax`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Exit {
    /// Counted from the function's begin; never 0, where a probe would be hit again when the stack grows.
    pub(super) inside: u64,
    /// Where the arguments are, counted from `rsp`.
    pub(super) slots: [u16; 2],
}

/// What is known before an instruction.
#[derive(Clone, Debug, Eq, PartialEq)]
struct State {
    /// How far `rsp` is below what it was at the begin.
    depth: i64,
    held: [Held; 2],
    /// Where there is a 0, as the result is on a way out with an error.
    zero: Held,
}

/// Where one value is.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Held {
    /// Registers, a bit each.
    registers: u32,
    /// Places on the stack, counted from `rsp` at the begin.
    slots: Vec<i64>,
}

/// The ways out of a function which may return something else than 0, each with the places of both arguments.
pub(super) fn exits(
    function: &Function<'_>,
    arguments: [Register; 2],
) -> Result<Vec<Exit>, &'static str> {
    let code: Vec<Instruction> = code::instructions(function)
        .take(MAX_INSTRUCTIONS + 1)
        .collect();
    if code.len() > MAX_INSTRUCTIONS {
        return Err("it is too long");
    }
    let states = states(&code, arguments)?;
    let targets: HashSet<u64> = code.iter().filter_map(branch_target).collect();
    let mut exits = Vec::new();
    for (at, state) in states.iter().enumerate() {
        if state.is_none() || code[at].flow_control() != FlowControl::Return {
            continue;
        }
        let site = unwinding(&code, &targets, at)?;
        let state = states[site]
            .as_ref()
            .ok_or("a return is not reached by its epilogue")?;
        if state.zero.registers & bit(Register::RAX) != 0 {
            continue;
        }
        let slot = |held: &Held| {
            let above = held
                .slots
                .iter()
                .map(|slot| slot + state.depth)
                .find(|above| *above >= 0)?;
            u16::try_from(above).ok()
        };
        let places = slot(&state.held[0]).zip(slot(&state.held[1]));
        let (first, second) = places.ok_or("an argument is not on the stack at a return")?;
        let inside = code[site].ip().wrapping_sub(function.address);
        if inside == 0 {
            return Err("it returns at once");
        }
        exits.push(Exit {
            inside,
            slots: [first, second],
        });
    }
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

/// What is known before each instruction; nothing where it is never reached.
fn states(
    code: &[Instruction],
    arguments: [Register; 2],
) -> Result<Vec<Option<State>>, &'static str> {
    let mut states = vec![None; code.len()];
    let held = arguments.map(|register| Held {
        registers: bit(register),
        slots: Vec::new(),
    });
    *states.first_mut().ok_or("it is empty")? = Some(State {
        depth: 0,
        held,
        zero: Held::default(),
    });
    let mut waiting = vec![0];
    let mut info = InstructionInfoFactory::new();
    for _ in 0..MAX_STEPS {
        let Some(at) = waiting.pop() else {
            return Ok(states);
        };
        let (instruction, Some(mut state)) = (&code[at], states[at].clone()) else {
            continue;
        };
        state.step(instruction, &mut info)?;
        let (target, next) = match instruction.flow_control() {
            FlowControl::Next | FlowControl::Call | FlowControl::IndirectCall => (None, true),
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
        for next in target.into_iter().chain(next.then_some(at + 1)) {
            let known = states.get_mut(next).ok_or("it runs past its end")?;
            if merge(known, &state)? {
                waiting.push(next);
            }
        }
    }
    Err("it is too complex")
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

impl State {
    fn values(&mut self) -> impl Iterator<Item = &mut Held> {
        self.held.iter_mut().chain([&mut self.zero])
    }

    /// What is known after an instruction.
    fn step(
        &mut self,
        instruction: &Instruction,
        info: &mut InstructionInfoFactory,
    ) -> Result<(), &'static str> {
        if instruction.is_invalid() {
            return Err("it has an unknown instruction");
        }
        match instruction.flow_control() {
            FlowControl::Next => {}
            // A callee may change every register, but not its caller's frame.
            FlowControl::Call | FlowControl::IndirectCall => {
                self.values().for_each(|held| held.registers = 0);
                return Ok(());
            }
            _ => return Ok(()),
        }
        match instruction.code() {
            Code::Push_r64 => {
                self.depth += 8;
                self.store(-self.depth, 8, instruction.op0_register());
            }
            Code::Pop_r64 => {
                let from = -self.depth;
                self.load(instruction.op0_register(), from);
                self.depth -= 8;
            }
            Code::Mov_r64_rm64 | Code::Mov_rm64_r64 => self.copy(instruction),
            Code::Sub_rm64_imm8 | Code::Sub_rm64_imm32
                if instruction.op0_register() == Register::RSP =>
            {
                self.depth = self.depth.wrapping_add(instruction.immediate(1) as i64);
            }
            Code::Add_rm64_imm8 | Code::Add_rm64_imm32
                if instruction.op0_register() == Register::RSP =>
            {
                self.depth = self.depth.wrapping_sub(instruction.immediate(1) as i64);
            }
            _ => {
                self.forget(instruction, info);
                self.clear(instruction);
            }
        }
        if writes_rsp(instruction, info) {
            Err("it moves its stack in an unknown way")
        } else {
            Ok(())
        }
    }

    fn copy(&mut self, instruction: &Instruction) {
        let on_stack = instruction.memory_base() == Register::RSP
            && instruction.memory_index() == Register::None;
        let slot = (instruction.memory_displacement64() as i64).wrapping_sub(self.depth);
        match (instruction.op0_kind(), instruction.op1_kind()) {
            (OpKind::Register, OpKind::Register) => {
                let (to, from) = (instruction.op0_register(), instruction.op1_register());
                for held in self.values() {
                    held.set(to, held.registers & bit(from) != 0);
                }
            }
            (OpKind::Register, _) if on_stack => self.load(instruction.op0_register(), slot),
            (OpKind::Register, _) => self
                .held
                .iter_mut()
                .for_each(|held| held.set(instruction.op0_register(), false)),
            (_, _) if on_stack => self.store(slot, 8, instruction.op1_register()),
            (_, _) => self.write_elsewhere(instruction.memory_base()),
        }
    }

    /// Notes a 0 that is put into a register or on the stack.
    fn clear(&mut self, instruction: &Instruction) {
        let zero = match instruction.code() {
            Code::Mov_rm64_imm32 => instruction.immediate(1) == 0,
            Code::Xor_r32_rm32 | Code::Xor_rm32_r32 => {
                instruction.op0_register() == instruction.op1_register()
            }
            _ => false,
        };
        let on_stack = instruction.memory_base() == Register::RSP
            && instruction.memory_index() == Register::None;
        match instruction.op0_kind() {
            OpKind::Register if zero => self.zero.set(instruction.op0_register(), true),
            OpKind::Memory if zero && on_stack => {
                let slot = (instruction.memory_displacement64() as i64).wrapping_sub(self.depth);
                self.zero.put(slot);
            }
            _ => {}
        }
    }

    fn load(&mut self, register: Register, slot: i64) {
        for held in self.values() {
            let known = held.slots.contains(&slot);
            held.set(register, known);
        }
    }

    fn store(&mut self, slot: i64, size: i64, register: Register) {
        for held in self.values() {
            held.slots.retain(|other| {
                *other >= slot.saturating_add(size) || other.saturating_add(8) <= slot
            });
            if held.registers & bit(register) != 0 {
                held.put(slot);
            }
        }
    }

    /// A write through another register does not reach the compiler's spills, unless that one points into the frame.
    fn write_elsewhere(&mut self, base: Register) {
        if matches!(base, Register::RSP | Register::RBP) {
            self.values().for_each(|held| held.slots.clear());
        }
    }

    /// Drops what any other instruction overwrites.
    fn forget(&mut self, instruction: &Instruction, info: &mut InstructionInfoFactory) {
        let info = info.info(instruction);
        for used in info
            .used_registers()
            .iter()
            .filter(|used| is_write(used.access()))
        {
            self.held
                .iter_mut()
                .for_each(|held| held.set(used.register(), false));
        }
        for used in info
            .used_memory()
            .iter()
            .filter(|used| is_write(used.access()))
        {
            if used.base() == Register::RSP && used.index() == Register::None {
                let slot = (used.displacement() as i64).wrapping_sub(self.depth);
                self.store(slot, used.memory_size().size() as i64, Register::None);
            } else {
                self.write_elsewhere(used.base());
            }
        }
    }
}

impl Held {
    fn put(&mut self, slot: i64) {
        if self.slots.len() < MAX_SLOTS && !self.slots.contains(&slot) {
            self.slots.push(slot);
        }
    }

    fn set(&mut self, register: Register, here: bool) {
        let bit = bit(register);
        self.registers = if here {
            self.registers | bit
        } else {
            self.registers & !bit
        };
    }
}

/// A bit for each of the sixteen registers; none for others.
fn bit(register: Register) -> u32 {
    let full = register.full_register();
    if full.is_gpr64() {
        1 << full.number()
    } else {
        0
    }
}

fn is_write(access: OpAccess) -> bool {
    matches!(
        access,
        OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite
    )
}

/// Whether it changes `rsp` in a way that is not followed.
fn writes_rsp(instruction: &Instruction, info: &mut InstructionInfoFactory) -> bool {
    let followed = matches!(
        instruction.code(),
        Code::Push_r64
            | Code::Pop_r64
            | Code::Sub_rm64_imm8
            | Code::Sub_rm64_imm32
            | Code::Add_rm64_imm8
            | Code::Add_rm64_imm32
    );
    let used = info.info(instruction).used_registers();
    !followed
        && used
            .iter()
            .any(|used| used.register().full_register() == Register::RSP && is_write(used.access()))
}
