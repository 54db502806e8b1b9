//! Which events are meant: the filters that `search` and `timeline` share.

use clap::Args;

use crate::time;

/// Filters. All that are given must hold; of several values of one, any. `*` and `?` stand for other characters.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Which events")]
pub struct Selection {
    /// Who asked: the attested or known identity (`identity`)
    #[arg(long, value_name = "NAME")]
    pub identity: Vec<String>,
    /// Who asked or answered: the pod's name, or namespace/name
    #[arg(long, value_name = "POD")]
    pub pod: Vec<String>,
    /// Who asked or answered: the container's id or name
    #[arg(long, value_name = "CONTAINER")]
    pub container: Vec<String>,
    /// Who asked or answered: the path of the program, its package or its script
    #[arg(long, value_name = "PROGRAM")]
    pub program: Vec<String>,
    /// Who asked or answered: the process, as the host counts
    #[arg(long, value_name = "PID")]
    pub pid: Vec<i64>,
    /// The run of a workflow, or the workflow as it is shown (`github acme/app*`)
    #[arg(long, value_name = "RUN")]
    pub workflow: Vec<String>,
    /// The server, as it calls itself
    #[arg(long, value_name = "NAME")]
    pub server: Vec<String>,
    /// The tool that was called
    #[arg(long, value_name = "NAME")]
    pub tool: Vec<String>,
    /// The method (`tools/call`)
    #[arg(long, value_name = "METHOD")]
    pub method: Vec<String>,
    /// The table that was touched
    #[arg(long, value_name = "NAME")]
    pub table: Vec<String>,
    /// Whatever was touched: a file, URL, table, object, mailbox, repository
    #[arg(long, value_name = "NAME")]
    pub resource: Vec<String>,
    /// The kind of data that was in a message (`secret:*`)
    #[arg(long, value_name = "CLASS")]
    pub class: Vec<String>,
    /// What was decided, by the server or by the policy (allowed, denied; allow, deny)
    #[arg(long, value_name = "DECISION")]
    pub decision: Vec<String>,
    /// The policy that decided
    #[arg(long, value_name = "ID")]
    pub policy: Vec<String>,
    /// How it ended (success, failure, denied, tool_error, timeout, aborted ...)
    #[arg(long, value_name = "OUTCOME")]
    pub outcome: Vec<String>,
    /// The kind of finding, or the rule that made it
    #[arg(long, value_name = "FINDING")]
    pub finding: Vec<String>,
    /// The session, or the hash of its id
    #[arg(long, value_name = "SESSION")]
    pub session: Vec<String>,
    /// The hash of the token or key that was shown
    #[arg(long, value_name = "HASH")]
    pub token: Vec<String>,
    /// The chain
    #[arg(long, value_name = "CHAIN")]
    pub chain: Vec<String>,
    /// The event: its uid
    #[arg(long, value_name = "UID")]
    pub event: Vec<String>,
    /// What entries are: interaction, finding, lifecycle
    #[arg(long, value_name = "TYPE", value_parser = ["interaction", "finding", "lifecycle"])]
    pub r#type: Vec<String>,
    /// From this time on: RFC 3339, or how long ago (2h)
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    pub since: Option<i64>,
    /// Before this time
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    pub until: Option<i64>,
    /// Also what was reported while it was still open
    #[arg(long)]
    pub open: bool,
}

impl Selection {
    /// Whether nothing but times narrows it.
    pub fn is_wide(&self) -> bool {
        let texts = [
            &self.identity,
            &self.pod,
            &self.container,
            &self.program,
            &self.workflow,
            &self.server,
            &self.tool,
            &self.method,
            &self.table,
            &self.resource,
            &self.class,
            &self.decision,
            &self.policy,
            &self.outcome,
            &self.finding,
            &self.session,
            &self.token,
            &self.chain,
            &self.event,
            &self.r#type,
        ];
        self.pid.is_empty() && texts.into_iter().all(Vec::is_empty)
    }
}
