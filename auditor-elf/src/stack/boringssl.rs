//! BoringSSL without symbols, as in Bun.
//!
//! With symbols it is found as OpenSSL is. AWS-LC's libssl is not looked for.

use iced_x86::{Code, OpKind};

use crate::{
    Call, Library, Refusal, Stack, code,
    fuzz::Elf,
    image::Image,
    reports::{self, Reporter, reporters},
};

/// The file that both functions are in.
const FILE: &str = "ssl/ssl_lib.cc";
/// What only `SSL_write` reports, all of it: `ERR_R_SHOULD_NOT_HAVE_BEEN_CALLED`, `SSL_R_UNINITIALIZED`,
/// `SSL_R_SSL_HANDSHAKE_FAILURE`, `SSL_R_BAD_LENGTH`.
///
/// Provenance: Bun 1.4.5 (2026), curl_cffi 0.17.0, whose symbols agree.
const WRITE: [u32; 4] = [66, 226, 215, 111];
/// What `SSL_read` reports, which is that of `SSL_peek` inlined into it. Where it calls `SSL_peek` it reports nothing and
/// is not found.
///
/// Provenance: the same, and grpcio 1.85.1.
const READ: [u32; 1] = [66];
/// `SSL_peek` is right before `SSL_write` in the file; 22 lines in what was seen.
const LINES_BEFORE: u32 = 40;

/// What is looked for in the file.
pub(super) const TEXTS: &[&[u8]] = &[FILE.as_bytes()];

pub(super) fn recognise(image: &Image<'_>) -> Option<Library> {
    if image.texts_ending(FILE).is_empty() || image.named(&["SSL_write"]).has("SSL_write") {
        return None;
    }
    let reporters = reporters(image, FILE);
    let sites = the_one(
        reporters.iter().filter(|reporter| reporter.reasons(&WRITE)),
        "SSL_write",
    )
    .and_then(|write| {
        let first = write.lines().min().unwrap_or_default();
        let before = |line: u32| (1..=LINES_BEFORE).contains(&first.saturating_sub(line));
        let reads = reporters
            .iter()
            .filter(|other| other.reasons(&READ) && other.lines().all(before) && takes(other));
        let read = the_one(reads, "SSL_read")?;
        let missing = |function| Refusal::Missing { function };
        let write = image
            .function(write.address, 0)
            .ok_or(missing("SSL_write"))?;
        let read = image.function(read.address, 0).ok_or(missing("SSL_read"))?;
        Ok([
            code::enter_and_return(&write, Call::SslWrite),
            code::enter_and_return(&read, Call::SslRead),
        ]
        .concat())
    });
    Some(match sites {
        Ok(sites) => Library::new(Stack::BoringSsl, None, sites),
        Err(why) => Library::refused(Stack::BoringSsl, None, why),
    })
}

/// Whether it moves the begin of what is left to read, as `SSL_read` does and `SSL_peek` does not.
fn takes(reporter: &Reporter) -> bool {
    reporter
        .code
        .values()
        .any(|at| at.code() == Code::Add_rm64_r64 && at.op0_kind() == OpKind::Memory)
}

/// The only one, or why there is none.
fn the_one<'a>(
    mut found: impl Iterator<Item = &'a Reporter>,
    function: &'static str,
) -> Result<&'a Reporter, Refusal> {
    let first = found.next().ok_or(Refusal::Missing { function })?;
    match found.count() {
        0 => Ok(first),
        more => Err(Refusal::Ambiguous {
            function,
            found: more + 1,
        }),
    }
}

/// A BoringSSL as far as this module looks at it.
pub(super) fn sample(elf: &mut Elf) {
    let file = elf.function("", b"\0boringssl/ssl/ssl_lib.cc\0") + 1;
    reports::sample(elf, file, &[(66, 700)], b"\xc3");
    // add [rax+128], rbx; ret
    reports::sample(elf, file, &[(66, 931)], b"\x48\x01\x98\x80\0\0\0\xc3");
    reports::sample(
        elf,
        file,
        &[(66, 953), (226, 958), (215, 973), (111, 979)],
        b"\xc3",
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Role, recognise};

    const TAKES: &[u8] = b"\x48\x01\x98\x80\0\0\0\xc3";
    const WRITES: [(u8, u32); 4] = [(66, 953), (226, 958), (215, 973), (111, 979)];

    type Function<'a> = (&'a [(u8, u32)], &'a [u8]);

    /// A library of functions with these reports and ends, and what is found in it.
    fn found(functions: &[Function<'_>]) -> (Vec<u64>, Library) {
        let mut elf = Elf::new();
        let file = elf.function("", b"\0x/ssl/ssl_lib.cc\0") + 1;
        let made = functions
            .iter()
            .map(|(reports, rest)| reports::sample(&mut elf, file, reports, rest))
            .collect();
        let mut found = recognise(&elf.finish()).unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
        (made, found.remove(0))
    }

    #[test]
    fn both_functions_are_found_by_what_they_report() {
        let (made, library) = found(&[
            (&WRITES, b"\xc3"),
            (&[(66, 931)], TAKES),
            (&[(66, 700)], TAKES),
        ]);
        assert_eq!(library.stack, Stack::BoringSsl);
        let offset = |role| {
            library
                .sites
                .iter()
                .find(|site| site.role == role)
                .map(|site| site.offset)
        };
        assert_eq!(
            offset(Role::Return(Call::SslWrite)),
            Some(Elf::offset(made[0]))
        );
        assert_eq!(
            offset(Role::Return(Call::SslRead)),
            Some(Elf::offset(made[1]))
        );
        assert_eq!(library.sites.len(), 4);
    }

    #[test]
    fn a_peek_is_no_read() {
        let (made, library) = found(&[
            (&WRITES, b"\xc3"),
            (&[(66, 931)], b"\xc3"),
            (&[(66, 931)], TAKES),
        ]);
        assert!(
            library
                .sites
                .iter()
                .any(|site| site.offset == Elf::offset(made[2]))
        );
        let (_, library) = found(&[(&WRITES, b"\xc3"), (&[(66, 931)], b"\xc3")]);
        assert_eq!(
            library.refused,
            Some(Refusal::Missing {
                function: "SSL_read"
            })
        );
    }

    #[test]
    fn two_that_look_alike_are_refused() {
        let (_, library) = found(&[
            (&WRITES, b"\xc3"),
            (&WRITES, b"\xc3"),
            (&[(66, 931)], TAKES),
        ]);
        assert_eq!(
            library.refused,
            Some(Refusal::Ambiguous {
                function: "SSL_write",
                found: 2
            })
        );
        let (_, library) = found(&[
            (&WRITES, b"\xc3"),
            (&[(66, 931)], TAKES),
            (&[(66, 940)], TAKES),
        ]);
        assert_eq!(
            library.refused,
            Some(Refusal::Ambiguous {
                function: "SSL_read",
                found: 2
            })
        );
    }

    #[test]
    fn another_reason_is_another_function() {
        for reports in [
            &WRITES[1..],
            &[WRITES[0], WRITES[1], WRITES[2], WRITES[3], (9, 980)],
        ] {
            let (_, library) = found(&[(reports, b"\xc3"), (&[(66, 931)], TAKES)]);
            assert_eq!(
                library.refused,
                Some(Refusal::Missing {
                    function: "SSL_write"
                })
            );
        }
    }

    #[test]
    fn symbols_are_left_to_the_module_that_reads_them() {
        let mut elf = Elf::new();
        sample(&mut elf);
        elf.function("SSL_write", b"\xc3");
        assert_eq!(recognise(&elf.finish()), Ok(vec![]));
    }
}
