//! Where values are before an instruction: which registers and places on the stack have them.
//!
//! Steps over one instruction at a time and follows no branch. Bound: [`MAX_SLOTS`].

use iced_x86::{
    Code, FlowControl, Instruction, InstructionInfoFactory, OpAccess, OpKind, Register,
};

/// Places of one value; the first ones are kept.
const MAX_SLOTS: usize = 8;

/// What is known before an instruction.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct State {
    /// How far `rsp` is below what it was at the begin.
    pub(super) depth: i64,
    /// Where the values are that are followed.
    pub(super) held: Vec<Held>,
    /// Where there is a 0, as the result is on a way out with an error.
    pub(super) zero: Held,
}

/// Where one value is.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Held {
    /// Registers, a bit each.
    pub(super) registers: u32,
    /// Places on the stack, counted from `rsp` at the begin.
    pub(super) slots: Vec<i64>,
}

impl State {
    pub(super) fn values(&mut self) -> impl Iterator<Item = &mut Held> {
        self.held.iter_mut().chain([&mut self.zero])
    }

    /// What is known after an instruction.
    pub(super) fn step(
        &mut self,
        instruction: &Instruction,
        keeping: &[u64],
        info: &mut InstructionInfoFactory,
    ) -> Result<(), &'static str> {
        if instruction.is_invalid() {
            return Err("it has an unknown instruction");
        }
        match instruction.flow_control() {
            FlowControl::Next => {}
            // What the collector is told by keeps every register but one.
            FlowControl::Call if keeping.contains(&instruction.near_branch_target()) => {
                self.values()
                    .for_each(|held| held.set(Register::R11, false));
                return Ok(());
            }
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
                let sum = self.sum(instruction);
                self.forget(instruction, info);
                self.clear(instruction);
                if let (Some(register), [_, _, held]) = (sum, &mut self.held[..]) {
                    held.set(register, true);
                }
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

    /// The register that now has the sum of the first two values, where three are followed.
    fn sum(&self, instruction: &Instruction) -> Option<Register> {
        let [first, second, _] = &self.held[..] else {
            return None;
        };
        let (to, from) = (instruction.op0_register(), instruction.op1_register());
        let is_add = matches!(instruction.code(), Code::Add_r64_rm64 | Code::Add_rm64_r64);
        (is_add && (first.has(to) && second.has(from) || second.has(to) && first.has(from)))
            .then_some(to)
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
    /// Whether a register has it.
    pub(super) fn has(&self, register: Register) -> bool {
        self.registers & bit(register) != 0
    }

    /// The lowest place above `rsp` that has it.
    pub(super) fn above(&self, depth: i64) -> Option<u16> {
        let above = self.slots.iter().map(|slot| slot + depth);
        u16::try_from(above.into_iter().find(|above| *above >= 0)?).ok()
    }

    pub(super) fn put(&mut self, slot: i64) {
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
pub(super) fn bit(register: Register) -> u32 {
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
