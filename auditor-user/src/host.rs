//! What identifies this host and this run.

use std::fs;

use auditor_core::audit::{Device, Level, Settings};
use nix::sys::utsname::uname;

/// Settings of the audit stage for this host.
pub(crate) fn settings(level: Level) -> Settings {
    let boot = read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let run = read("/proc/sys/kernel/random/uuid").unwrap_or_default();
    Settings {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        run: format!(
            "{}-{}",
            boot.get(..8).unwrap_or("0"),
            run.get(..13).unwrap_or("0")
        ),
        device: device(),
        level,
        key: random_key(),
    }
}

/// The host, as events name it.
pub(crate) fn device() -> Device {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let field = |name: &str| {
        let line = release
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
        Some(line.trim_matches('"').to_owned())
    };
    Device {
        hostname: nix::unistd::gethostname()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default(),
        uid: read("/etc/machine-id"),
        os_name: field("NAME"),
        os_version: field("VERSION_ID"),
        kernel_release: uname()
            .ok()
            .map(|name| name.release().to_string_lossy().into_owned()),
    }
}

/// A new secret for keyed hashes.
pub(crate) fn random_key() -> [u8; 32] {
    use std::io::Read as _;
    let mut key = [0; 32];
    if fs::File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut key))
        .is_err()
    {
        tracing::warn!("no random numbers: what keyed hashes stand for can be guessed");
    }
    key
}

fn read(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned()).filter(|text| !text.is_empty())
}
