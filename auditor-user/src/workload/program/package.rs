//! The package that a script belongs to: the nearest `package.json`, or the `.dist-info` that names it.
//!
//! Reads below the root of the process, as the process would. Bounds: [`DEPTH`] folders up, [`LINKS`], [`FILE`] bytes of
//! a file, [`DISTRIBUTIONS`] of one folder.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::Read as _,
    os::{
        fd::{AsFd, AsRawFd as _, OwnedFd},
        unix::fs::MetadataExt as _,
    },
    path::{Path, PathBuf},
};

use nix::{
    fcntl::{OFlag, OpenHow, ResolveFlag, openat2, readlinkat},
    sys::stat::Mode,
};
use serde::Deserialize;

use super::script::Script;

/// Folders above a script that are looked into.
const DEPTH: usize = 16;
/// Links that lead from one to the next.
const LINKS: usize = 8;
/// Bytes of a file that are read.
const FILE: u64 = 1 << 20;
/// Distributions of Python that are looked at.
const DISTRIBUTIONS: usize = 1_024;

/// Where a process looks for files.
pub(super) struct Place {
    pub(super) root: File,
    pub(super) cwd: File,
}

/// A package.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) version: Option<String>,
    pub(super) ecosystem: &'static str,
}

impl Place {
    /// Opens a file that the process names.
    pub(super) fn open(&self, path: &str) -> Option<File> {
        let base = if path.starts_with('/') {
            &self.root
        } else {
            &self.cwd
        };
        let resolve = if path.starts_with('/') {
            ResolveFlag::RESOLVE_IN_ROOT
        } else {
            ResolveFlag::empty()
        };
        let file = open(base, path, OFlag::O_RDONLY, resolve)?;
        file.metadata().ok()?.is_file().then_some(file)
    }

    /// The folder that a file is in, and its name there, with links followed.
    fn resolve(&self, path: &str) -> Option<(File, String)> {
        let mut base = if path.starts_with('/') {
            self.root.try_clone()
        } else {
            self.cwd.try_clone()
        }
        .ok()?;
        let mut path = PathBuf::from(path);
        for _ in 0..LINKS {
            let name = path.file_name()?.to_str()?.to_owned();
            let parent = path
                .parent()
                .filter(|parent| !parent.as_os_str().is_empty());
            let is_absolute = path.is_absolute();
            let from = if is_absolute { &self.root } else { &base };
            let resolve = if is_absolute {
                ResolveFlag::RESOLVE_IN_ROOT
            } else {
                ResolveFlag::empty()
            };
            let folder = match parent {
                Some(parent) => open(from, parent, OFlag::O_DIRECTORY, resolve)?,
                None => from.try_clone().ok()?,
            };
            match readlinkat(&folder, name.as_str()) {
                Ok(target) => {
                    path = PathBuf::from(target);
                    base = folder;
                }
                Err(_) => return Some((folder, name)),
            }
        }
        None
    }
}

/// The package that a script belongs to.
pub(super) fn find(place: &Place, script: &Script) -> Option<Package> {
    match script {
        Script::Node { file } => npm(place, file),
        Script::Python { file } => python_file(place, file),
        Script::Module { name, interpreter } => {
            let module = name.split('.').next().unwrap_or(name);
            site_packages(place, interpreter)
                .iter()
                .find_map(|site| owner(site, module))
        }
    }
}

fn npm(place: &Place, file: &str) -> Option<Package> {
    #[derive(Deserialize)]
    struct Manifest {
        name: Option<String>,
        version: Option<String>,
    }
    let (mut folder, _) = place.resolve(file)?;
    let root = place.root.metadata().ok()?;
    for _ in 0..DEPTH {
        let manifest = text(&folder, "package.json")
            .and_then(|text| serde_json::from_str::<Manifest>(&text).ok());
        // Packages may have further ones inside that only say how files are to be read.
        if let Some(Manifest {
            name: Some(name),
            version,
        }) = manifest
        {
            return Some(Package {
                name,
                version,
                ecosystem: "npm",
            });
        }
        let own = folder.metadata().ok()?;
        if (own.dev(), own.ino()) == (root.dev(), root.ino()) {
            return None;
        }
        folder = open(&folder, "..", OFlag::O_DIRECTORY, ResolveFlag::empty())?;
    }
    None
}

/// A file within a package, or one that an installer made to start it.
fn python_file(place: &Place, file: &str) -> Option<Package> {
    let (folder, name) = place.resolve(file)?;
    let shown = fs::read_link(format!("/proc/self/fd/{}", folder.as_raw_fd())).ok()?;
    let mut parts: Vec<&OsStr> = shown.iter().collect();
    parts.push(OsStr::new(&name));
    let is_site = |part: &&OsStr| matches!(part.to_str(), Some("site-packages" | "dist-packages"));
    if let Some(at) = parts.iter().rposition(is_site) {
        let module = Path::new(parts.get(at + 1)?).file_stem()?.to_str()?;
        let mut site = folder.try_clone().ok()?;
        for _ in at + 2..parts.len() {
            site = open(&site, "..", OFlag::O_DIRECTORY, ResolveFlag::empty())?;
        }
        return owner(&site, module);
    }
    let sites = site_packages(place, file);
    sites.iter().find_map(|site| starter(site, &name))
}

/// Where the packages beside a program are: `PREFIX/bin/PROGRAM`, `PREFIX/lib/python3*/site-packages`.
fn site_packages(place: &Place, program: &str) -> Vec<File> {
    let Some(prefix) = Path::new(program).parent().and_then(Path::parent) else {
        return Vec::new();
    };
    let lib = prefix.join("lib");
    let Some(folder) = open(
        &place.root,
        &lib,
        OFlag::O_DIRECTORY,
        ResolveFlag::RESOLVE_IN_ROOT,
    ) else {
        return Vec::new();
    };
    let names = names(&folder)
        .into_iter()
        .filter(|name| name.starts_with("python3"));
    let sites = names
        .flat_map(|name| ["site-packages", "dist-packages"].map(|site| format!("{name}/{site}")));
    sites
        .filter_map(|site| {
            open(
                &folder,
                site,
                OFlag::O_DIRECTORY,
                ResolveFlag::RESOLVE_BENEATH,
            )
        })
        .collect()
}

/// The distribution that a module of a folder comes from.
fn owner(site: &File, module: &str) -> Option<Package> {
    let distributions = distributions(site);
    let plain = |name: &str| name.to_lowercase().replace(['-', '.'], "_");
    let is_named = |name: &&String| {
        let distribution = name.split('-').next().unwrap_or(name);
        plain(distribution) == plain(module)
    };
    // Mostly both have one name; else the list of files tells.
    let (first, others): (Vec<_>, Vec<_>) = distributions.iter().partition(is_named);
    let folder = format!("{module}/");
    let file = format!("{module}.py,");
    let has = |name: &&&String| {
        let record = text(site, format!("{name}/RECORD")).unwrap_or_default();
        record
            .lines()
            .any(|line| line.starts_with(&folder) || line.starts_with(&file))
    };
    let found = first.iter().find(has).or_else(|| others.iter().find(has))?;
    metadata(site, found)
}

/// The distribution that a program of this name starts.
fn starter(site: &File, name: &str) -> Option<Package> {
    let distributions = distributions(site);
    let starts = |distribution: &&String| {
        let entries = text(site, format!("{distribution}/entry_points.txt")).unwrap_or_default();
        entries.lines().any(|line| {
            line.split('=')
                .next()
                .is_some_and(|own| own.trim() == name && line.contains('='))
        })
    };
    metadata(site, distributions.iter().find(starts)?)
}

fn distributions(site: &File) -> Vec<String> {
    let names = names(site).into_iter();
    names
        .filter(|name| name.ends_with(".dist-info"))
        .take(DISTRIBUTIONS)
        .collect()
}

fn metadata(site: &File, distribution: &str) -> Option<Package> {
    let text = text(site, format!("{distribution}/METADATA"))?;
    // The description follows an empty line.
    let field = |name: &str| {
        let mut lines = text.lines().take_while(|line| !line.is_empty());
        lines.find_map(|line| {
            Some(
                line.strip_prefix(name)?
                    .strip_prefix(": ")?
                    .trim()
                    .to_owned(),
            )
        })
    };
    Some(Package {
        name: field("Name")?,
        version: field("Version"),
        ecosystem: "pypi",
    })
}

/// The names in a folder.
fn names(folder: &File) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/self/fd/{}", folder.as_raw_fd()));
    let entries = entries.into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .take(DISTRIBUTIONS * 4)
        .collect()
}

fn text(folder: &File, path: impl AsRef<Path>) -> Option<String> {
    let file = open(folder, path, OFlag::O_RDONLY, ResolveFlag::RESOLVE_BENEATH)?;
    file.metadata().ok()?.is_file().then_some(())?;
    let mut text = Vec::new();
    file.take(FILE).read_to_end(&mut text).ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

fn open(
    folder: &impl AsFd,
    path: impl AsRef<Path>,
    flags: OFlag,
    resolve: ResolveFlag,
) -> Option<File> {
    let how = OpenHow::new()
        .flags(flags | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY)
        .mode(Mode::empty())
        .resolve(resolve | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let opened: OwnedFd = openat2(folder, path.as_ref(), how).ok()?;
    Some(File::from(opened))
}
