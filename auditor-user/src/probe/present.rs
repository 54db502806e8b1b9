//! Files with a TLS stack that are there before any process uses them. Names and places only.

use std::{fs, path::PathBuf};

/// Where libraries are that any program may use, and how those with a TLS stack are called.
const LIBRARY_FOLDERS: &[&str] = &[
    "/usr/lib/x86_64-linux-gnu",
    "/lib/x86_64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/usr/local/lib",
    "/usr/local/lib64",
];
const LIBRARY_NAMES: &[&str] = &["libssl.so", "libssl3.so", "libgnutls.so"];
/// Where programs are, and those with a TLS stack of their own that agents and servers run in.
const PROGRAM_FOLDERS: &[&str] = &["/usr/bin", "/usr/local/bin"];
const PROGRAM_NAMES: &[&str] = &["node", "bun", "deno"];
/// Where the installers of such programs put them in a home.
const HOME_FOLDERS: &[&str] = &[".bun/bin", ".deno/bin"];
/// Homes that are looked at.
const HOMES: usize = 256;

/// The files.
pub(super) fn files() -> Vec<PathBuf> {
    let homes = fs::read_dir("/home").into_iter().flatten().flatten();
    let homes = homes
        .take(HOMES)
        .map(|entry| entry.path())
        .chain([PathBuf::from("/root")]);
    let in_homes = homes.flat_map(|home| HOME_FOLDERS.iter().map(move |folder| home.join(folder)));
    let programs = PROGRAM_FOLDERS.iter().map(PathBuf::from).chain(in_homes);
    let libraries = LIBRARY_FOLDERS.iter().map(PathBuf::from);
    let mut found = Vec::new();
    for (folder, names) in libraries
        .map(|folder| (folder, LIBRARY_NAMES))
        .chain(programs.map(|folder| (folder, PROGRAM_NAMES)))
    {
        let is_named = |name: &[u8]| names.iter().any(|known| name.starts_with(known.as_bytes()));
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let named = entries.filter(|entry| is_named(entry.file_name().as_encoded_bytes()));
        found.extend(named.map(|entry| entry.path()));
    }
    found
}
