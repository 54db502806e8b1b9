//! The tests that need neither root nor the network, those of this task runner included.

use super::report::{Report, counted};
use crate::{command::command, toolchain::Route, workspace};

pub(super) fn check(route: Route, report: &mut Report) {
    report.count("unit tests", || {
        let mut cargo = command("cargo", ["test", "--quiet", "--workspace"]);
        route.apply(&mut cargo);
        // The kernel side cannot run here; the end-to-end tests are a part of their own.
        cargo.args(["--exclude", "auditor-ebpf"]);
        counted(cargo.current_dir(workspace::root()))
    });
}
