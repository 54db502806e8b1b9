//! The end-to-end tests: real MCP programs under the running daemon.

use super::{Options, report::Report};

pub(super) fn check(_options: &Options, _report: &mut Report) {}
