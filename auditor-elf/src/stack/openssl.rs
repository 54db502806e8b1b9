//! OpenSSL and its descendants BoringSSL and LibreSSL, where the functions of their interface have symbols.
//!
//! Stripped copies that export nothing are found by `openssl_unnamed`.
//!
//! What lies beneath what, so that no byte is heard twice:
//! - OpenSSL: `SSL_write`, `SSL_write_ex`, `SSL_write_ex2` (3.3+) and `BIO_f_ssl` end in the local
//!   `ssl_write_internal`, the reads in `ssl_read_internal`; early data goes through the `_ex` functions. The
//!   internals alone hear all of it, and begin with a cheap `push`. Where a compiler inlined them, the interface is
//!   probed. `SSL_peek` and `SSL_peek_ex` have an internal of their own, take nothing from the stream and are not probed.
//! - LibreSSL: `_ex` calls the plain function. BoringSSL has no `_ex`.
//!
//! Provenance: the code of Debian's libssl 3.0, the libssl in wheels of psycopg2-binary 2.9.5 (1.1.1r) and 2.9.13 (3.5)
//! and pycurl 7.49.0 (3.6), the static copies in cryptography 50.0.2 (4.0), Node 20 (inlined) and Node 26 (3.5, whose
//! symbols agree).

use iced_x86::{Code, Register};

use crate::{
    Call, Library, Role, Site, Stack, code,
    fuzz::Elf,
    image::{Function, Image, Named},
};

/// The interface, and a function that only one of the three has.
const NAMES: [&str; 9] = [
    "SSL_write",
    "SSL_read",
    "SSL_write_ex",
    "SSL_read_ex",
    "SSL_write_ex2",
    "SSL_free",
    "SSL_sendfile",
    ONLY_LIBRESSL,
    ONLY_BORINGSSL,
];
const ONLY_LIBRESSL: &str = "SSL_CTX_use_certificate_chain_mem";
const ONLY_BORINGSSL: &str = "SSL_CTX_set_custom_verify";
/// The two functions below the interface: what they call themselves when they report an error. OpenSSL 3 gives the
/// name, 1.1.1 the number (`SSL_F_SSL_WRITE_INTERNAL`, `SSL_F_SSL_READ_INTERNAL` of include/openssl/sslerr.h).
const WRITE_INTERNAL: (&str, u32) = ("ssl_write_internal", 524);
const READ_INTERNAL: (&str, u32) = ("ssl_read_internal", 523);
/// What the library's wording of its version begins with.
const OPENSSL: &str = "OpenSSL ";
const LIBRESSL: &str = "LibreSSL ";
/// Longest version text believed.
const MAX_VERSION: usize = 64;

/// What is looked for in the file.
pub(super) const TEXTS: &[&[u8]] = &[OPENSSL.as_bytes()];

pub(super) fn recognise(image: &Image<'_>) -> Option<Library> {
    let named = image.named(&NAMES);
    if !named.has("SSL_write") || !named.has("SSL_read") {
        return None;
    }
    let stack = flavour(&named);
    let mut sites = match stack {
        Stack::OpenSsl => internals(image, &named).unwrap_or_else(|| interface(&named)),
        _ => plain(&named),
    };
    sites.extend(named.all("SSL_free").iter().map(|free| Site {
        offset: code::entry(free),
        role: Role::Free,
    }));
    let mut library = Library::new(stack, version(image, stack), sites);
    if named.has("SSL_sendfile") {
        // Sends a file through kernel TLS: the plaintext is never in a buffer.
        library.unheard.push("SSL_sendfile");
    }
    Some(library)
}

/// OpenSSL has `_ex` since 1.1.1; older ones, and BoringSSL, do not.
fn flavour(named: &Named<'_>) -> Stack {
    if named.has(ONLY_LIBRESSL) {
        Stack::LibreSsl
    } else if named.has(ONLY_BORINGSSL) {
        Stack::BoringSsl
    } else {
        Stack::OpenSsl
    }
}

/// The two local functions below the interface, when both can be proven.
fn internals(image: &Image<'_>, named: &Named<'_>) -> Option<Vec<Site>> {
    let (write, out) = internal(
        image,
        named,
        "SSL_write",
        &["SSL_write_ex2", "SSL_write_ex"],
        WRITE_INTERNAL,
    )?;
    let (read, Register::RCX) =
        internal(image, named, "SSL_read", &["SSL_read_ex"], READ_INTERNAL)?
    else {
        return None;
    };
    let call = if out == Register::RCX {
        Call::SslWriteEx
    } else {
        Call::SslWriteEx2
    };
    Some(
        [
            code::enter_and_return(&write, call),
            code::enter_and_return(&read, Call::SslReadEx),
        ]
        .concat(),
    )
}

/// The one function that the plain and the `_ex` function both call and that reports errors as `itself`; and the
/// register in which the plain one gives it the address of a local count.
fn internal<'a>(
    image: &Image<'a>,
    named: &Named<'a>,
    plain: &str,
    extended: &[&str],
    itself: (&str, u32),
) -> Option<(Function<'a>, Register)> {
    let extended = extended
        .iter()
        .find_map(|name| named.one(name))
        .filter(|function| function.sized)?;
    let plain = named.one(plain).filter(|function| function.sized)?;
    let below = code::callees(&extended);
    let mut shared: Vec<_> = code::callees(&plain)
        .into_iter()
        .filter(|callee| below.iter().any(|other| other.address == callee.address))
        .filter_map(|callee| Some((image.function(callee.address, 0)?, callee.out?)))
        .collect();
    shared.dedup_by_key(|(function, out)| (function.address, *out));
    match shared[..] {
        [found] if reports_as(image, found.0.address, itself) => Some(found),
        _ => None,
    }
}

/// Whether the function at `start` names itself so when it reports an error.
fn reports_as(image: &Image<'_>, start: u64, (name, number): (&str, u32)) -> bool {
    code::walk(image, start, |_| false)
        .iter()
        .any(|instruction| match instruction.code() {
            Code::Lea_r64_m if instruction.is_ip_rel_memory_operand() => {
                image.is_string(instruction.ip_rel_memory_address(), name)
            }
            // Position-dependent programs load the address as a number.
            Code::Mov_r32_imm32 => {
                instruction.immediate32() == number
                    || image.is_string(instruction.immediate32().into(), name)
            }
            _ => false,
        })
}

/// Every function of OpenSSL's interface, each hearing its own bytes.
fn interface(named: &Named<'_>) -> Vec<Site> {
    let mut sites = plain(named);
    sites.extend(each(named, "SSL_read_ex", Call::SslReadEx));
    sites.extend(each(named, "SSL_write_ex2", Call::SslWriteEx2));
    // Where SSL_write_ex goes on to SSL_write_ex2, it is heard there.
    let below = named.all("SSL_write_ex2");
    for extended in named.all("SSL_write_ex") {
        let target = code::tail_target(&extended);
        if !below.iter().any(|other| Some(other.address) == target) {
            sites.extend(code::enter_and_return(&extended, Call::SslWriteEx));
        }
    }
    sites
}

/// The two functions that all have.
fn plain(named: &Named<'_>) -> Vec<Site> {
    [
        each(named, "SSL_write", Call::SslWrite),
        each(named, "SSL_read", Call::SslRead),
    ]
    .concat()
}

fn each(named: &Named<'_>, name: &str, call: Call) -> Vec<Site> {
    named
        .all(name)
        .iter()
        .flat_map(|function| code::enter_and_return(function, call))
        .collect()
}

/// The library's own wording, which a shared libssl leaves to libcrypto; else the newest version of its symbols.
fn version(image: &Image<'_>, stack: Stack) -> Option<String> {
    let own = match stack {
        Stack::OpenSsl => OPENSSL,
        Stack::LibreSsl => LIBRESSL,
        _ => return None,
    };
    wording(image, own).or_else(|| {
        let names = image.dynamic_names();
        let places = memchr::memmem::find_iter(names, "OPENSSL_");
        places
            .filter_map(|at| version_at(names, at, "OPENSSL_"))
            .max()
    })
}

/// The library's own wording, where it is in the file.
pub(super) fn own_version(image: &Image<'_>) -> Option<String> {
    wording(image, OPENSSL)
}

fn wording(image: &Image<'_>, prefix: &'static str) -> Option<String> {
    let places = image.places(prefix.as_bytes()).into_iter();
    places
        .filter_map(|at| version_at(image.bytes(), at, prefix))
        .next()
}

/// The printable text at a place, if it is `prefix` and a version of three numbers.
fn version_at(bytes: &[u8], at: usize, prefix: &str) -> Option<String> {
    let text = &bytes[at..bytes.len().min(at + MAX_VERSION)];
    let end = text.iter().position(|byte| *byte == 0)?;
    let text = std::str::from_utf8(&text[..end]).ok()?;
    let digit = |part: Option<&str>| {
        part.is_some_and(|part| part.starts_with(|next: char| next.is_ascii_digit()))
    };
    let mut parts = text[prefix.len()..].splitn(3, ['.', '_']);
    let three = digit(parts.next()) && digit(parts.next()) && digit(parts.next());
    (three
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() || byte == b' '))
    .then(|| text.to_owned())
}

/// A libssl of OpenSSL 3.0 as far as this module looks at it.
pub(super) fn sample(elf: &mut Elf) {
    // push rbp; lea rax, [rip+1]; ret; the name
    let internal =
        |name: &str| [b"\x55\x48\x8d\x05\x01\0\0\0\xc3", name.as_bytes(), b"\0"].concat();
    let write = elf.function("", &internal(WRITE_INTERNAL.0));
    let read = elf.function("", &internal(READ_INTERNAL.0));
    // sub rsp, 24; mov rcx, rsp; call; add rsp, 24; ret
    let plain = |at: u64, to: u64| {
        [
            b"\x48\x83\xec\x18\x48\x89\xe1",
            &call(at + 7, to)[..],
            b"\x48\x83\xc4\x18\xc3",
        ]
        .concat()
    };
    // sub rsp, 8; call; add rsp, 8; ret
    let extended = |at: u64, to: u64| {
        [
            b"\x48\x83\xec\x08",
            &call(at + 4, to)[..],
            b"\x48\x83\xc4\x08\xc3",
        ]
        .concat()
    };
    for (name, to) in [("SSL_write", write), ("SSL_read", read)] {
        let code = plain(elf.next(), to);
        elf.function(name, &code);
    }
    for (name, to) in [("SSL_write_ex", write), ("SSL_read_ex", read)] {
        let code = extended(elf.next(), to);
        elf.function(name, &code);
    }
    elf.function("SSL_free", b"\xf3\x0f\x1e\xfa\x55\xc3");
}

/// `call to`, at `at`.
fn call(at: u64, to: u64) -> [u8; 5] {
    let [a, b, c, d] = (to.wrapping_sub(at + 5) as u32).to_le_bytes();
    [0xe8, a, b, c, d]
}

#[cfg(test)]
mod tests;
