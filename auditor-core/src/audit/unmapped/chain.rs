//! Where an event stands in its chain, as `unmapped.mcp.chain` shows it.

use serde::Serialize;

use crate::audit::{
    chain::{Basis, Certainty, Chain, ChainId},
    event::AuditEvent,
};

/// The chain of an event.
#[derive(Serialize)]
pub(super) struct ChainView {
    id: String,
    parent: Option<String>,
    depth: u8,
    basis: &'static str,
    certainty: Option<&'static str>,
    candidates: Option<u32>,
}

impl ChainView {
    pub(super) fn of(event: &AuditEvent, chain: &Chain) -> Self {
        Self {
            id: match chain.id {
                ChainId::Interaction(id) => event.uid_of(id),
                ChainId::Trace(trace) => format!("{:032x}", u128::from_be_bytes(trace)),
            },
            parent: chain.parent.map(|id| event.uid_of(id)),
            depth: chain.depth,
            basis: match chain.basis {
                Basis::None => "none",
                Basis::TraceContext => "trace_context",
                Basis::SameMessage => "same_message",
                Basis::OpenRequest => "open_request",
                Basis::ProcessLineage => "process_lineage",
            },
            certainty: chain.certainty.map(|certainty| match certainty {
                Certainty::Proven => "proven",
                Certainty::OnlyCandidate => "only_candidate",
                Certainty::OneOf(_) => "one_of_n",
            }),
            candidates: match chain.certainty {
                Some(Certainty::OneOf(several)) => Some(several),
                Some(_) => Some(1),
                None => None,
            },
        }
    }
}
