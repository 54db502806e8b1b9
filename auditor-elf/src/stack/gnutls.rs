//! GnuTLS, shared, or static with symbols.
//!
//! `gnutls_record_send` ends in `gnutls_record_send2` (3.6.3+), so only the latter is probed where there is one.
//! Corked data is handed over once, when it is corked.
//!
//! Provenance: lib/record.c of GnuTLS 3.7; checked against Debian's libgnutls 3.7.9.

use crate::{
    Call, Library, Role, Site, Stack, code,
    fuzz::Elf,
    image::{Image, Named},
};

const SENDS: [&str; 2] = ["gnutls_record_send2", "gnutls_record_send"];
const RECEIVE: &str = "gnutls_record_recv";
const FREE: &str = "gnutls_deinit";
/// They move plaintext in other ways, which no client or server of HTTP was seen to use.
const OTHERS: [&str; 5] = [
    "gnutls_record_send_range",
    "gnutls_record_recv_packet",
    "gnutls_record_recv_seq",
    "gnutls_record_send_early_data",
    "gnutls_record_recv_early_data",
];
/// What comes before the version in a message of the library.
const VERSION: &[u8] = b"Enabled GnuTLS ";

/// What is looked for in the file.
pub(super) const TEXTS: &[&[u8]] = &[VERSION];

pub(super) fn recognise(image: &Image<'_>) -> Option<Library> {
    let named = image.named(&[SENDS[0], SENDS[1], RECEIVE, FREE]);
    let send = SENDS.into_iter().find(|name| named.has(name))?;
    let mut sites = each(&named, send, Call::GnuTlsSend);
    sites.extend(each(&named, RECEIVE, Call::GnuTlsReceive));
    sites.extend(named.all(FREE).iter().map(|free| Site {
        offset: code::entry(free),
        role: Role::Free,
    }));
    let mut library = Library::new(Stack::GnuTls, version(image), sites);
    let others = image.named(&OTHERS);
    library
        .unheard
        .extend(OTHERS.into_iter().filter(|name| others.has(name)));
    Some(library)
}

fn each(named: &Named<'_>, name: &str, call: Call) -> Vec<Site> {
    named
        .all(name)
        .iter()
        .flat_map(|function| code::enter_and_return(function, call))
        .collect()
}

/// "3.7.9"
fn version(image: &Image<'_>) -> Option<String> {
    let at = *image.places(VERSION).first()?;
    let text = image.bytes()[at + VERSION.len()..].iter().take(16);
    let text: String = text
        .map(|byte| char::from(*byte))
        .take_while(|byte| !byte.is_ascii_whitespace())
        .collect();
    text.bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.')
        .then_some(text)
}

/// A libgnutls as far as this module looks at it.
pub(super) fn sample(elf: &mut Elf) {
    for name in [SENDS[0], SENDS[1], RECEIVE, FREE, OTHERS[0]] {
        elf.function(name, b"\x55\xc3");
    }
    elf.section(".rodata", b"Enabled GnuTLS 3.7.9 logging...\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recognise;

    fn found(elf: &Elf) -> Library {
        let mut found = recognise(&elf.finish()).unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }

    #[test]
    fn the_function_below_is_probed_for_both() {
        let mut elf = Elf::new();
        let send = Elf::offset(elf.next());
        sample(&mut elf);
        let library = found(&elf);
        assert_eq!(
            (library.stack, library.version.as_deref()),
            (Stack::GnuTls, Some("3.7.9"))
        );
        let expected = [
            (send, Role::Enter(Call::GnuTlsSend)),
            (send, Role::Return(Call::GnuTlsSend)),
            (send + 32, Role::Enter(Call::GnuTlsReceive)),
            (send + 32, Role::Return(Call::GnuTlsReceive)),
            (send + 48, Role::Free),
        ];
        assert_eq!(
            library.sites,
            expected.map(|(offset, role)| Site { offset, role })
        );
        assert_eq!(library.unheard, [OTHERS[0]]);
    }

    #[test]
    fn an_old_library_is_probed_at_its_only_send() {
        let mut elf = Elf::new();
        let send = Elf::offset(elf.function(SENDS[1], b"\x55\xc3"));
        let library = found(&elf);
        assert_eq!(
            library.sites[0],
            Site {
                offset: send,
                role: Role::Enter(Call::GnuTlsSend)
            }
        );
        assert_eq!((library.sites.len(), library.version), (2, None));
    }
}
