//! The command line of mcp-auditor.

fn main() {}
