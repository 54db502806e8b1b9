use super::*;

const NAME: &[u8] = b"\0some/where/file.c\0";

type Reports = Vec<(u32, Option<u32>)>;

fn found(elf: &Elf) -> Vec<(u64, Reports)> {
    let file = elf.finish();
    let image = Image::parse(&file).unwrap();
    reporters(&image, "where/file.c")
        .into_iter()
        .map(|reporter| (reporter.address, reporter.reports))
        .collect()
}

#[test]
fn reason_and_line_are_those_of_the_same_piece_of_code() {
    let mut elf = Elf::new();
    let file = elf.function("", NAME) + 1;
    let address = sample(&mut elf, file, &[(66, 931), (7, 5)], b"\xc3");
    assert_eq!(
        found(&elf),
        [(address, vec![(66, Some(931)), (7, Some(5))])]
    );
}

#[test]
fn a_program_at_a_fixed_address_names_the_file_by_a_number() {
    let mut elf = Elf::new();
    let file = (elf.function("", NAME) + 1) as u32;
    let at = elf.next();
    // push 9; pop rdx; mov ecx, file; push 77; jmp to the next: its line is put where it is not followed
    let code = [
        b"\x6a\x09\x5a\xb9",
        &file.to_le_bytes()[..],
        b"\x6a\x4d\xeb\x00\x41\x58\xc3",
    ]
    .concat();
    elf.function("", &code);
    let distance = (at.wrapping_sub(elf.next() + 5) as u32).to_le_bytes();
    elf.function("", &[&[0xe8], &distance[..], &[0xc3]].concat());
    assert_eq!(found(&elf), [(at, vec![(9, None)])]);
}

#[test]
fn a_call_that_does_not_return_does_not_join_two_functions() {
    let mut elf = Elf::new();
    let file = (elf.function("", NAME) + 1) as u32;
    // mov ecx, file; mov edx, reason; nop; call: 16 bytes, so that the next function follows without a gap
    let code = |reason: u8| {
        [
            &[0xb9],
            &file.to_le_bytes()[..],
            &[0xba, reason, 0, 0, 0, 0x90, 0xe8, 0, 0, 0, 0],
        ]
        .concat()
    };
    let [first, second] = [1, 2].map(|reason| elf.function("", &code(reason)));
    assert_eq!(second, first + 16);
    for address in [first, second] {
        let distance = (address.wrapping_sub(elf.next() + 5) as u32).to_le_bytes();
        elf.function("", &[&[0xe8], &distance[..], &[0xc3]].concat());
    }
    assert_eq!(
        found(&elf),
        [(first, vec![(1, None)]), (second, vec![(2, None)])]
    );
    let file = elf.finish();
    let reporters = reporters(&Image::parse(&file).unwrap(), "where/file.c");
    assert!(reporters[0].code.keys().all(|at| *at < second));
}

#[test]
fn a_begin_in_the_middle_of_code_is_none() {
    let mut elf = Elf::new();
    let file = elf.function("", NAME) + 1;
    let address = sample(&mut elf, file, &[(66, 931)], b"\xc3");
    // Something that looks like a call of the function's second instruction.
    let distance = ((address + 1).wrapping_sub(elf.next() + 5) as u32).to_le_bytes();
    elf.function("", &[&[0xe8], &distance[..], &[0xc3]].concat());
    assert_eq!(found(&elf)[0].0, address);
}

#[test]
fn a_file_of_another_name_is_not_looked_at() {
    let mut elf = Elf::new();
    let file = elf.function("", b"\0some/where/file.cc\0") + 1;
    sample(&mut elf, file, &[(66, 931)], b"\xc3");
    assert_eq!(found(&elf), []);
}
