//! Files of this machine that nobody made for these tests. A file that is not installed is named and passed over.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use auditor_elf::{Call, Library, Role, Stack, recognise};

/// The file, and what is found in it.
struct Found {
    path: PathBuf,
    bytes: Vec<u8>,
    library: Library,
}

fn find(path: impl AsRef<Path>, stack: Stack) -> Option<Found> {
    let path = path.as_ref().to_owned();
    let Ok(bytes) = std::fs::read(&path) else {
        eprintln!("{} is not installed here", path.display());
        return None;
    };
    let found = recognise(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let library = found.into_iter().find(|library| library.stack == stack);
    let library = library.unwrap_or_else(|| panic!("{stack:?} is not found in {}", path.display()));
    assert_eq!(library.refused, None, "{}", path.display());
    Some(Found {
        path,
        bytes,
        library,
    })
}

/// The system's copy of a library.
fn system(name: &str) -> PathBuf {
    let folders = ["/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib"];
    folders
        .iter()
        .map(|folder| Path::new(folder).join(name))
        .find(|path| path.exists())
        .unwrap_or(name.into())
}

/// A program on the path.
fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|path| path.exists());
    found.unwrap_or(name.into())
}

impl Found {
    fn offset(&self, role: Role) -> u64 {
        let mut sites = self.library.sites.iter().filter(|site| site.role == role);
        let site = sites
            .next()
            .unwrap_or_else(|| panic!("no {role:?} in {}", self.path.display()));
        assert_eq!(sites.next(), None);
        site.offset
    }

    fn begins(&self, offset: u64, with: &[&[u8]]) -> bool {
        with.iter()
            .any(|bytes| self.bytes[offset as usize..].starts_with(bytes))
    }
}

/// push of any register
const PUSHES: [&[u8]; 8] = [
    b"\x53",
    b"\x55",
    b"\x56",
    b"\x57",
    b"\x41\x54",
    b"\x41\x55",
    b"\x41\x56",
    b"\x41\x57",
];

#[test]
fn the_systems_openssl_is_probed_at_its_internals() {
    let Some(found) = find(system("libssl.so.3"), Stack::OpenSsl) else {
        return;
    };
    assert!(
        found
            .library
            .version
            .as_deref()
            .is_some_and(|version| version.starts_with("OPENSSL_3."))
    );
    let calls: Vec<Role> = found.library.sites.iter().map(|site| site.role).collect();
    assert_eq!(calls.len(), 5, "{calls:?}");
    for site in &found.library.sites {
        if let Role::Enter(call) | Role::Return(call) = site.role {
            assert!(
                matches!(call, Call::SslWriteEx | Call::SslWriteEx2 | Call::SslReadEx),
                "{call:?}"
            );
            assert!(found.begins(site.offset, &PUSHES), "{site:?} is slow");
        }
    }
}

#[test]
fn node_is_probed_at_the_functions_it_exports() {
    let Some(found) = find(program("node"), Stack::OpenSsl) else {
        return;
    };
    assert!(
        found
            .library
            .version
            .as_deref()
            .is_some_and(|version| version.starts_with("OpenSSL 3."))
    );
    for (name, call) in [("SSL_write", Call::SslWrite), ("SSL_read", Call::SslRead)] {
        let offset = found.offset(Role::Enter(call));
        assert_eq!(offset, found.offset(Role::Return(call)));
        assert_eq!(Some(offset), exported(&found, name), "{name}");
    }
}

#[test]
fn the_systems_gnutls_is_probed_below_its_send() {
    let Some(found) = find(system("libgnutls.so.30"), Stack::GnuTls) else {
        return;
    };
    assert!(
        found
            .library
            .version
            .as_deref()
            .is_some_and(|version| version.starts_with("3."))
    );
    let send = found.offset(Role::Return(Call::GnuTlsSend));
    assert_eq!(Some(send), exported(&found, "gnutls_record_send2"));
    assert_eq!(
        Some(found.offset(Role::Enter(Call::GnuTlsReceive))),
        exported(&found, "gnutls_record_recv")
    );
    assert_eq!(
        Some(found.offset(Role::Free)),
        exported(&found, "gnutls_deinit")
    );
}

/// The offset in the file of an exported function, as binutils tell it.
fn exported(found: &Found, name: &str) -> Option<u64> {
    let text = |program: &str, argument: &str| {
        let output = Command::new(program)
            .arg(argument)
            .arg(&found.path)
            .output()
            .ok()?;
        String::from_utf8(output.stdout).ok()
    };
    let symbols = text("nm", "-D")?;
    let number = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).ok();
    let symbol = symbols.lines().find(|line| {
        line.split_whitespace()
            .nth(2)
            .is_some_and(|symbol| symbol.split('@').next() == Some(name))
    })?;
    let address = number(symbol.split_whitespace().next()?)?;
    let segments = text("readelf", "-lW")?;
    segments.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let ["LOAD", offset, start, _, size, ..] = fields[..] else {
            return None;
        };
        let inside = address.checked_sub(number(start)?)?;
        (inside < number(size)?).then_some(number(offset)? + inside)
    })
}

#[test]
fn the_go_command_is_probed_at_cheap_places_or_where_it_takes_down_its_frames() {
    let Some(found) = find(program("go"), Stack::Go) else {
        return;
    };
    assert!(
        found
            .library
            .version
            .as_deref()
            .is_some_and(|version| version.starts_with("go1."))
    );
    let [mut writes, mut reads] = [0, 0];
    for site in &found.library.sites {
        match site.role {
            Role::Ret(Call::GoWrite { .. }) => writes += 1,
            Role::Ret(Call::GoRead { .. }) => reads += 1,
            other => panic!("{other:?}"),
        }
        // add rsp, small or large; nop; what else the kernel carries out itself
        let is_way_out = found.begins(site.offset, &[b"\x48\x83\xc4", b"\x48\x81\xc4", b"\x90"]);
        let is_branch = (0x70..0x80)
            .any(|byte| found.begins(site.offset, &[&[byte], &[0x0f, byte + 0x10]]))
            || found.begins(site.offset, &[b"\xe8", b"\xe9", b"\xeb"]);
        assert!(is_way_out || is_branch, "{site:?}");
    }
    assert!(writes > 0 && reads > 0, "{:?}", found.library.sites);
}
