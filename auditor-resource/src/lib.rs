//! Says which things an MCP call names: tables, files, URLs, buckets, mailboxes.
//!
//! Reads arguments only; what really happened is told elsewhere. Texts are hostile and every list is bounded.

pub mod sql;
