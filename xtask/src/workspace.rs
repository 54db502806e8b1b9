//! Where things lie: the workspace, its target directory, the built daemon.

use std::path::{Path, PathBuf};

/// The root of the clone.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."))
}

/// Cargo's target directory: `target/` unless `CARGO_TARGET_DIR` says otherwise.
pub(crate) fn target() -> PathBuf {
    let chosen = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    chosen.map_or_else(|| root().join("target"), |folder| root().join(folder))
}

/// The release binary of the daemon.
pub(crate) fn auditor() -> PathBuf {
    target().join("release/mcp-auditor")
}
