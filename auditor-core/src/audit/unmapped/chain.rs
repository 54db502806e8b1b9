//! Where an event stands in its chain, as `unmapped.mcp.chain` shows it.

use serde::Serialize;

use super::workload::Workflow;
use crate::audit::{
    chain::{Certainty, Chain, ChainId},
    event::AuditEvent,
    workflow::Origin,
};

/// The chain of an event.
#[derive(Serialize)]
pub(super) struct ChainView<'a> {
    id: String,
    parent: Option<String>,
    depth: u8,
    basis: &'static str,
    certainty: Option<&'static str>,
    candidates: Option<u32>,
    workflow: Option<OriginView<'a>>,
}

/// The workflow that the chain began in, what says so and how far that is proven.
#[derive(Serialize)]
struct OriginView<'a> {
    basis: &'static str,
    certainty: &'static str,
    #[serde(flatten)]
    workflow: Workflow<'a>,
}

impl<'a> OriginView<'a> {
    fn of(origin: &'a Origin) -> Self {
        Self {
            basis: "process_lineage",
            certainty: if origin.is_proven {
                "proven"
            } else {
                "claimed"
            },
            workflow: Workflow::of(&origin.workflow),
        }
    }
}

impl<'a> ChainView<'a> {
    pub(super) fn of(event: &'a AuditEvent, chain: &Chain) -> Self {
        Self {
            id: match chain.id {
                ChainId::Interaction(id) => event.uid_of(id),
                ChainId::Trace(trace) => format!("{:032x}", u128::from_be_bytes(trace)),
            },
            parent: chain.parent.map(|id| event.uid_of(id)),
            depth: chain.depth,
            basis: chain.basis.name(),
            certainty: chain.certainty.map(Certainty::name),
            candidates: chain.certainty.map(Certainty::candidates),
            workflow: event.origin.as_ref().map(OriginView::of),
        }
    }
}
