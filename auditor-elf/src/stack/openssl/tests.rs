use super::*;
use crate::recognise;

/// push rbp; ret
const PLAIN: &[u8] = b"\x55\xc3";
/// endbr64; push rbp; ret
const MARKED: &[u8] = b"\xf3\x0f\x1e\xfa\x55\xc3";

fn found(elf: &Elf) -> Library {
    let mut found = recognise(&elf.finish()).unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

fn offsets(library: &Library, role: Role) -> Vec<u64> {
    library
        .sites
        .iter()
        .filter(|site| site.role == role)
        .map(|site| site.offset)
        .collect()
}

#[test]
fn the_internals_stand_for_the_whole_interface() {
    let mut elf = Elf::new();
    let write = Elf::offset(elf.next());
    sample(&mut elf);
    let library = found(&elf);
    assert_eq!(library.stack, Stack::OpenSsl);
    assert_eq!(offsets(&library, Role::Enter(Call::SslWriteEx)), [write]);
    assert_eq!(offsets(&library, Role::Return(Call::SslWriteEx)), [write]);
    assert_eq!(
        offsets(&library, Role::Return(Call::SslReadEx)),
        [write + 32]
    );
    assert_eq!(library.sites.len(), 5, "{library:?}");
}

#[test]
fn what_only_looks_at_bytes_is_not_probed() {
    let mut alone = Elf::new();
    alone.function("SSL_write", PLAIN);
    alone.function("SSL_read", PLAIN);
    let mut over_internals = Elf::new();
    sample(&mut over_internals);
    for mut elf in [alone, over_internals] {
        let before = found(&elf).sites;
        elf.function("SSL_peek", PLAIN);
        elf.function("SSL_peek_ex", PLAIN);
        assert_eq!(found(&elf).sites, before);
    }
}

/// An interface whose write gives the address of its count in r8, over two functions of these bodies.
fn with_flags(bodies: [&[u8]; 2]) -> (Elf, [u64; 2]) {
    let mut elf = Elf::new();
    let [write, read] = bodies.map(|body| elf.function("", body));
    // lea r8, [rsp+8]; call; ret
    let code = [
        b"\x4c\x8d\x44\x24\x08",
        &call(elf.next() + 5, write)[..],
        b"\xc3",
    ]
    .concat();
    elf.function("SSL_write", &code);
    // lea rcx, [rsp+8]; call; ret
    let code = [
        b"\x48\x8d\x4c\x24\x08",
        &call(elf.next() + 5, read)[..],
        b"\xc3",
    ]
    .concat();
    elf.function("SSL_read", &code);
    for (name, to) in [("SSL_write_ex2", write), ("SSL_read_ex", read)] {
        let code = call(elf.next(), to);
        elf.function(name, &code);
    }
    (elf, [write, read])
}

#[test]
fn a_write_with_flags_has_its_count_in_r8() {
    // push rbp; mov esi, number; ret
    let (elf, [write, read]) =
        with_flags([b"\x55\xbe\x0c\x02\0\0\xc3", b"\x55\xbe\x0b\x02\0\0\xc3"]);
    let library = found(&elf);
    assert_eq!(
        offsets(&library, Role::Return(Call::SslWriteEx2)),
        [Elf::offset(write)]
    );
    assert_eq!(
        offsets(&library, Role::Return(Call::SslReadEx)),
        [Elf::offset(read)]
    );
    assert_eq!(library.sites.len(), 4);
}

#[test]
fn a_shared_function_that_does_not_name_itself_is_no_internal() {
    // The number stands behind the function's end.
    let (elf, [write, read]) =
        with_flags([b"\x55\xc3\xbe\x0c\x02\0\0", b"\x55\xbe\x0b\x02\0\0\xc3"]);
    let library = found(&elf);
    assert!(
        !library
            .sites
            .iter()
            .any(|site| [write, read].map(Elf::offset).contains(&site.offset)),
        "{library:?}"
    );
    assert_eq!(offsets(&library, Role::Return(Call::SslWrite)).len(), 1);
}

#[test]
fn inlined_internals_leave_the_interface_to_probe() {
    let mut elf = Elf::new();
    let addresses = ["SSL_write", "SSL_read", "SSL_write_ex", "SSL_read_ex"]
        .map(|name| elf.function(name, MARKED));
    let library = found(&elf);
    // After the endbr64.
    let calls = [
        Call::SslWrite,
        Call::SslRead,
        Call::SslWriteEx,
        Call::SslReadEx,
    ];
    for (address, call) in addresses.into_iter().zip(calls) {
        assert_eq!(
            offsets(&library, Role::Enter(call)),
            [Elf::offset(address) + 4]
        );
        assert_eq!(
            offsets(&library, Role::Return(call)),
            [Elf::offset(address) + 4]
        );
    }
    assert_eq!(library.sites.len(), 8);
}

#[test]
fn two_functions_called_by_both_are_not_chosen_from() {
    let mut elf = Elf::new();
    // push rbp; mov esi, 523; mov esi, 524; ret
    let both = b"\x55\xbe\x0b\x02\0\0\xbe\x0c\x02\0\0\xc3";
    let [one, other] = [elf.function("", both), elf.function("", both)];
    for name in ["SSL_write", "SSL_read", "SSL_write_ex", "SSL_read_ex"] {
        let at = elf.next();
        let code = [
            b"\x48\x89\xe1",
            &call(at + 3, one)[..],
            b"\x48\x89\xe1",
            &call(at + 11, other)[..],
        ]
        .concat();
        elf.function(name, &code);
    }
    let library = found(&elf);
    assert_eq!(offsets(&library, Role::Return(Call::SslWrite)).len(), 1);
    assert!(
        !library
            .sites
            .iter()
            .any(|site| [Elf::offset(one), Elf::offset(other)].contains(&site.offset))
    );
}

#[test]
fn an_extended_write_that_goes_on_to_the_next_is_heard_once() {
    let mut elf = Elf::new();
    for name in ["SSL_write", "SSL_read", "SSL_read_ex"] {
        elf.function(name, PLAIN);
    }
    let below = elf.function("SSL_write_ex2", PLAIN);
    // mov r8, rcx; jmp
    let mut code = [b"\x49\x89\xc8", &call(elf.next() + 3, below)[..]].concat();
    code[3] = 0xe9;
    elf.function("SSL_write_ex", &code);
    let library = found(&elf);
    assert_eq!(
        offsets(&library, Role::Return(Call::SslWriteEx2)),
        [Elf::offset(below)]
    );
    assert_eq!(offsets(&library, Role::Return(Call::SslWriteEx)), []);
}

#[test]
fn libressl_is_probed_where_its_extended_functions_end() {
    let mut elf = Elf::new();
    for name in [
        "SSL_write",
        "SSL_read",
        "SSL_write_ex",
        "SSL_read_ex",
        ONLY_LIBRESSL,
    ] {
        elf.function(name, PLAIN);
    }
    let library = found(&elf);
    assert_eq!((library.stack, library.sites.len()), (Stack::LibreSsl, 4));
}

#[test]
fn boringssl_is_found_by_local_symbols() {
    let mut elf = Elf::new().local();
    for name in ["SSL_write", "SSL_read", ONLY_BORINGSSL] {
        elf.function(name, PLAIN);
    }
    let library = found(&elf);
    assert_eq!((library.stack, library.sites.len()), (Stack::BoringSsl, 4));
}

#[test]
fn every_copy_of_a_function_is_probed_once() {
    let mut elf = Elf::new().local();
    let write = elf.function("SSL_write", PLAIN);
    elf.function("SSL_write", PLAIN);
    elf.alias("SSL_write", write, 2);
    elf.function("SSL_read", PLAIN);
    assert_eq!(offsets(&found(&elf), Role::Enter(Call::SslWrite)).len(), 2);
}

#[test]
fn half_an_interface_is_none() {
    let mut elf = Elf::new();
    elf.function("SSL_write", PLAIN);
    assert_eq!(recognise(&elf.finish()), Ok(vec![]));
}

#[test]
fn the_version_is_the_librarys_own_wording() {
    let mut elf = Elf::new();
    sample(&mut elf);
    elf.section(
        ".rodata",
        b"OpenSSL 3.0 legacy provider\0OpenSSL 3.0.17 1 Jul 2025\0",
    );
    assert_eq!(
        found(&elf).version.as_deref(),
        Some("OpenSSL 3.0.17 1 Jul 2025")
    );
    let mut elf = Elf::new();
    sample(&mut elf);
    elf.alias("OPENSSL_3.0.0", 0, 0);
    elf.alias("OPENSSL_3.3.0", 0, 0);
    assert_eq!(found(&elf).version.as_deref(), Some("OPENSSL_3.3.0"));
}
