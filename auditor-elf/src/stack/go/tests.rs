use super::*;
use crate::recognise;

fn found(elf: &Elf) -> Library {
    let mut found = recognise(&elf.finish()).unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

/// cmp rsp, [r14+16]
const ASK: &[u8] = b"\x49\x3b\x66\x10";
/// Offset in the file of what follows in the first function.
const BEGIN: u64 = 120 + 4;

/// push rbp; sub rsp, 16; mov [rsp+32], rax; mov [rsp+40], rbx; `body`; add rsp, 16; pop rbp; ret
fn framed(body: &[u8]) -> Vec<u8> {
    let begin = b"\x55\x48\x83\xec\x10\x48\x89\x44\x24\x20\x48\x89\x5c\x24\x28";
    [begin, body, b"\x48\x83\xc4\x10\x5d\xc3"].concat()
}

/// A program whose two functions ask for stack and then are this code.
fn program(code: &[u8]) -> Library {
    let code = &[ASK, code].concat();
    let mut elf = Elf::new();
    let text = elf.next();
    let write = elf.function("", code);
    let read = elf.function("", code);
    let starts = [(WRITE, 0), (READ, (read - write) as u32)];
    elf.section(
        ".gopclntab",
        &pclntab::sample(text, &starts, (read - write) as u32 + code.len() as u32),
    );
    found(&elf)
}

fn write_sites(library: &Library) -> Vec<(u64, u16, u16)> {
    let site = |site: &Site| match site.role {
        Role::Ret(Call::GoWrite {
            connection, buffer, ..
        }) => Some((site.offset - BEGIN, connection, buffer)),
        _ => None,
    };
    library.sites.iter().filter_map(site).collect()
}

fn why(library: &Library) -> &'static str {
    match library.refused {
        Some(Refusal::Code { why, .. }) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_return_is_probed_where_the_frame_still_stands() {
    let mut elf = Elf::new();
    sample(&mut elf);
    let library = found(&elf);
    assert_eq!(library.stack, Stack::Go);
    assert_eq!(library.version.as_deref(), Some("go1.26.8"));
    assert_eq!(write_sites(&library), [(20, 32, 40)]);
    assert_eq!(library.sites.len(), 2);
}

#[test]
fn arguments_are_followed_through_copies_joins_and_local_spills() {
    // mov [rsp+32], 0 drops the first spill; mov rcx, rax; je +0; mov [rsp+8], rcx; mov eax, ecx
    let body = b"\x48\xc7\x44\x24\x20\0\0\0\0\x48\x89\xc1\x74\x00\x48\x89\x4c\x24\x08\x89\xc8";
    assert_eq!(write_sites(&program(&framed(body))), [(36, 8, 40)]);
}

#[test]
fn a_spill_that_only_one_way_makes_is_not_believed() {
    // mov [rsp+32], rcx; je over; mov [rsp+32], rax; over:
    let body = b"\x48\x89\x4c\x24\x20\x74\x05\x48\x89\x44\x24\x20";
    assert_eq!(
        why(&program(&framed(body))),
        "an argument is not on the stack at a return"
    );
    // je over; mov [rsp+32], rcx; over:
    let body = b"\x74\x05\x48\x89\x4c\x24\x20";
    assert_eq!(
        why(&program(&framed(body))),
        "an argument is not on the stack at a return"
    );
    // The first without the branch.
    let body = b"\x48\x89\x4c\x24\x20\x48\x89\x44\x24\x20";
    assert_eq!(write_sites(&program(&framed(body))).len(), 1);
}

#[test]
fn a_call_takes_the_registers_and_leaves_the_stack() {
    // call; mov [rsp+32], rax
    let body = b"\xe8\0\0\0\0\x48\x89\x44\x24\x20";
    assert_eq!(
        why(&program(&framed(body))),
        "an argument is not on the stack at a return"
    );
    assert_eq!(write_sites(&program(&framed(&body[..5]))).len(), 1);
}

#[test]
fn any_write_over_a_spill_drops_it() {
    // movups [rsp+24], xmm15; mov byte [rsp+47], 1; mov [rsp+rcx*8], rcx
    for body in [
        &b"\x44\x0f\x11\x7c\x24\x18"[..],
        b"\xc6\x44\x24\x2f\x01",
        b"\x48\x89\x0c\xcc",
    ] {
        assert_eq!(
            why(&program(&framed(body))),
            "an argument is not on the stack at a return",
            "{body:x?}"
        );
    }
}

#[test]
fn a_return_of_nothing_needs_no_probe() {
    // test ecx, ecx; je over; mov [rsp], 0; mov rax, [rsp]; add rsp, 16; pop rbp; ret; over:
    let zero = b"\x85\xc9\x74\x12\x48\xc7\x04\x24\0\0\0\0\x48\x8b\x04\x24\x48\x83\xc4\x10\x5d\xc3";
    assert_eq!(write_sites(&program(&framed(zero))), [(37, 32, 40)]);
    // mov [rsp], 1
    let one = b"\x85\xc9\x74\x12\x48\xc7\x04\x24\x01\0\0\0\x48\x8b\x04\x24\x48\x83\xc4\x10\x5d\xc3";
    assert_eq!(
        write_sites(&program(&framed(one))),
        [(31, 32, 40), (37, 32, 40)]
    );
}

#[test]
fn nops_in_an_epilogue_belong_to_it() {
    // nop before the ret
    let mut code = framed(b"");
    code.insert(code.len() - 1, 0x90);
    assert_eq!(write_sites(&program(&code)), [(15, 32, 40)]);
    assert_eq!(write_sites(&program(&framed(b"\x90"))), [(15, 32, 40)]);
}

#[test]
fn the_way_by_which_the_stack_grows_leads_back_to_the_begin() {
    // jbe grow; ...; grow: mov [rsp+8], rax; mov [rsp+16], rbx; call; mov rax, [rsp+8]; mov rbx, [rsp+16]; jmp begin
    let mut code = [b"\x76\x15", &framed(b"")[..]].concat();
    code.extend_from_slice(b"\x48\x89\x44\x24\x08\x48\x89\x5c\x24\x10\xe8\0\0\0\0");
    code.extend_from_slice(b"\x48\x8b\x44\x24\x08\x48\x8b\x5c\x24\x10\xeb\xce");
    assert_eq!(write_sites(&program(&code)), [(17, 32, 40)]);
}

#[test]
fn what_could_stop_a_program_is_refused() {
    for (code, expected) in [
        (&b"\xc3"[..], "an argument is not on the stack at a return"),
        (b"\xff\xe0", "it has a computed jump"),
        (b"\xeb\x10", "it jumps out of itself"),
        (b"\x90", "it never returns"),
        (b"\x06", "it has an unknown instruction"),
        (b"\x48\x89\xc4\xc3", "it moves its stack in an unknown way"),
        (b"\x0f\x0b", "it never returns"),
        // je +1; push rbp; ret
        (
            b"\x74\x01\x55\xc3",
            "its stack is of different depth on two ways",
        ),
    ] {
        assert_eq!(why(&program(code)), expected, "{code:x?}");
    }
    // je to the pop of the epilogue
    let code = framed(b"\x74\x04");
    assert_eq!(
        why(&program(&code)),
        "its stack is of different depth on two ways"
    );
    // je to the nop of the epilogue
    let code = framed(b"\x74\x01\x90\x90");
    assert_eq!(why(&program(&code)), "a branch leads into an epilogue");
}

#[test]
fn the_runtimes_own_record_tells_where_the_code_begins() {
    let mut elf = Elf::new();
    let text = elf.next();
    let code = [ASK, &framed(b"")].concat();
    let [first, second] = [elf.function("", &code), elf.function("", &code)];
    let second = (second - first) as u32;
    // The header is off by one; what the runtime says counts.
    let table = pclntab::sample(
        text + 1,
        &[(WRITE, 0), (READ, second)],
        second + code.len() as u32,
    );
    elf.section(".gopclntab", &table);
    let with = |elf: &Elf, lowest: u64| {
        let mut elf = elf.clone();
        let at = recognise_place(&elf);
        let mut module = [0; 184];
        for (place, value) in [(0, at), (160, lowest), (176, text)] {
            module[place..place + 8].copy_from_slice(&u64::to_le_bytes(value));
        }
        elf.section(".go.module", &module);
        found(&elf)
    };
    assert_eq!(write_sites(&with(&elf, text)), [(15, 32, 40)]);
    // A word that only happens to be the table's address is none.
    let refused = with(&elf, text + 8);
    assert_eq!(why(&refused), "it does not begin by asking for stack");
}

/// Where the table is in memory; adding a section behind does not move it.
fn recognise_place(elf: &Elf) -> u64 {
    let file = elf.finish();
    let image = Image::parse(&file).unwrap();
    let at = memchr::memmem::find(&file, b"\xf1\xff\xff\xff\0\0\x01\x08").unwrap();
    image.address_of(at as u64).unwrap()
}

#[test]
fn a_name_that_two_functions_have_is_refused() {
    let mut elf = Elf::new();
    let text = elf.next();
    elf.function("", &framed(b""));
    let mut table = pclntab::sample(text, &[(WRITE, 0), (WRITE, 0)], 25);
    // The second record gets the first one's name.
    let last = table.len() - 4;
    table[last..].copy_from_slice(&1u32.to_le_bytes());
    elf.section(".gopclntab", &table);
    assert_eq!(
        found(&elf).refused,
        Some(Refusal::Ambiguous {
            function: WRITE,
            found: 2
        })
    );
}

#[test]
fn a_program_without_the_package_has_no_library() {
    let mut elf = Elf::new();
    let text = elf.next();
    elf.function("", &framed(b""));
    elf.section(
        ".gopclntab",
        &pclntab::sample(text, &[("main.main", 0)], 25),
    );
    assert_eq!(recognise(&elf.finish()), Ok(vec![]));
}

/// A program whose `Write` asks for stack and then is this code, of which `{}` is a call of what moves its bytes.
fn moving(before: &[u8], after: &[u8]) -> Vec<(u64, [u8; 2])> {
    let mut elf = Elf::new();
    let text = elf.next();
    let moves = elf.function("", b"\xc3");
    let write = elf.next();
    let mut code = [ASK, before].concat();
    let next = write + code.len() as u64 + 5;
    code.push(0xe8);
    code.extend_from_slice(&(moves.wrapping_sub(next) as u32).to_le_bytes());
    code.extend_from_slice(after);
    let begin = elf.function("", &code);
    let read = elf.function("", &[ASK, &framed(b"")].concat());
    let start = |address: u64| (address - text) as u32;
    let functions = [
        (WRITE_MOVES[0], start(moves)),
        (WRITE, start(begin)),
        (READ, start(read)),
    ];
    let end = start(read) + 40;
    elf.section(".gopclntab", &pclntab::sample(text, &functions, end));
    let library = found(&elf);
    let site = |site: &Site| match site.role {
        Role::Ret(Call::GoWrite { count, .. }) => {
            Some((site.offset - Elf::offset(begin) - 4, count.parts()))
        }
        _ => None,
    };
    library.sites.iter().filter_map(site).collect()
}

/// push rbp; sub rsp, 16; mov [rsp+32], rax; mov [rsp+40], rbx
const FRAME: &[u8] = b"\x55\x48\x83\xec\x10\x48\x89\x44\x24\x20\x48\x89\x5c\x24\x28";
/// add rsp, 16; pop rbp; ret
const UNFRAME: &[u8] = b"\x48\x83\xc4\x10\x5d\xc3";

#[test]
fn a_branch_that_every_return_comes_by_stands_for_them() {
    // mov [rsp], rax; test rbx, rbx; je over; xor ecx, ecx; over: call rax; mov rax, [rsp]
    let rest = b"\x48\x89\x04\x24\x48\x85\xdb\x74\x02\x31\xc9\xff\xd0\x48\x8b\x04\x24";
    let all = moving(FRAME, &[rest, UNFRAME].concat());
    assert_eq!(all, [(27, [0, 0])]);
    // The result is in another register there: mov rcx, rax first, and rcx is what is put away.
    let rest = b"\x48\x89\xc1\x48\x89\x0c\x24\x31\xc0\x74\x00\xff\xd0\x48\x8b\x04\x24";
    assert_eq!(moving(FRAME, &[rest, UNFRAME].concat()), [(29, [1, 0])]);
}

#[test]
fn what_is_added_to_the_result_is_told_by_its_place() {
    // Before: mov [rsp+8], rcx. After: test rbx, rbx; je +0; mov rcx, [rsp+8]; add rax, rcx
    let frame = [FRAME, b"\x48\x89\x4c\x24\x08"].concat();
    let rest = b"\x48\x85\xdb\x74\x00\x48\x8b\x4c\x24\x08\x48\x01\xc8";
    assert_eq!(moving(&frame, &[rest, UNFRAME].concat()), [(28, [0, 1])]);
    // The number is changed in between.
    let rest = b"\x48\x85\xdb\x74\x00\x48\x89\x54\x24\x08\x48\x8b\x4c\x24\x08\x48\x01\xc8";
    assert_eq!(moving(&frame, &[rest, UNFRAME].concat()), [(43, [0, 0])]);
}

#[test]
fn a_place_that_proves_nothing_leaves_the_returns_to_be_probed() {
    let end = |rest: &[u8]| moving(FRAME, &[rest, UNFRAME].concat());
    for (rest, why) in [
        (
            &b"\x74\x00\x48\xff\xc0"[..],
            "the result is changed after it",
        ),
        (b"\x74\x00\xff\xd0", "a call may change it"),
        (b"\x48\x85\xdb\x75\xfb", "it may be passed more than once"),
        (b"\x75\x02\x74\x00\x48\xff\xc0", "only some come by it"),
    ] {
        let site = 20 + rest.len() as u64;
        assert_eq!(end(rest), [(site, [0, 0])], "{why}");
    }
    // A branch before the bytes are moved, and none after: mov [rsp], rcx; je +0; call; mov rax, [rsp]
    let before = [FRAME, b"\x48\x89\x0c\x24\x74\x00"].concat();
    let rest = [b"\x48\x8b\x04\x24", UNFRAME].concat();
    assert_eq!(moving(&before, &rest), [(30, [0, 0])]);
}
