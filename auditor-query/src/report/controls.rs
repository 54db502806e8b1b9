//! Which requirements the record speaks to, and what it shows of each. Evidence only.

use auditor_query_cli::Framework;

use super::facts::Facts;

/// A framework.
pub(super) struct Named {
    pub(super) title: &'static str,
    pub(super) heading: &'static str,
    pub(super) introduction: &'static str,
    pub(super) controls: &'static [Control],
}

/// One requirement.
pub(super) struct Control {
    pub(super) id: &'static str,
    pub(super) asks: &'static str,
    pub(super) evidence: fn(&Facts) -> String,
    pub(super) not_shown: &'static str,
}

/// What there is of a framework.
pub(super) fn framework(framework: Framework) -> &'static Named {
    match framework {
        Framework::Soc2 => &SOC2,
        Framework::Iso27001 => &ISO27001,
        Framework::Gdpr => &GDPR,
    }
}

fn access(facts: &Facts) -> String {
    format!(
        "{} interactions by requester, {} of them proven by a signature; {} refused by servers; {} forbidden by policies of {} evaluated",
        facts.total("interactions"),
        facts.total("proven"),
        facts.total("refused"),
        facts.total("forbidden"),
        facts.total("evaluated")
    )
}

fn sensitive(facts: &Facts) -> String {
    format!(
        "{} interactions touched what is confidential or restricted, by requester and thing; {} carried classified data",
        facts.total("sensitive"),
        facts.total("classified")
    )
}

fn monitored(facts: &Facts) -> String {
    format!("{} findings: {}", facts.total("findings"), facts.findings())
}

fn logged(facts: &Facts) -> String {
    format!(
        "{} interactions with requester, thing, time, decision and outcome, in a log that shows each change; {} gaps, each with its extent",
        facts.total("interactions"),
        facts.total("gaps")
    )
}

fn changed(facts: &Facts) -> String {
    format!(
        "{} times the auditor read its configuration and policies again, each with their hashes",
        facts.total("configured")
    )
}

fn encrypted(facts: &Facts) -> String {
    format!(
        "{} of {} interactions were heard inside TLS",
        facts.total("encrypted"),
        facts.total("interactions")
    )
}

static SOC2: Named = Named {
    title: "Evidence of MCP interactions for SOC 2",
    heading: "Trust Services Criteria it speaks to",
    introduction: "By the Trust Services Criteria of 2017 with the points of focus of 2022 (AICPA TSP section 100).",
    controls: &[
        Control {
            id: "CC6.1",
            asks: "Logical access to protected information assets is restricted",
            evidence: access,
            not_shown: "Whether the policies are the right ones; access by other ways than MCP",
        },
        Control {
            id: "CC6.3",
            asks: "Access is authorised by roles and least privilege",
            evidence: access,
            not_shown: "How access was granted or withdrawn",
        },
        Control {
            id: "CC6.6",
            asks: "Threats from outside the system's boundaries are guarded against",
            evidence: monitored,
            not_shown: "Attacks that do not use MCP",
        },
        Control {
            id: "CC6.7",
            asks: "Transmission and movement of information is restricted and protected",
            evidence: encrypted,
            not_shown: "Strength of the encryption; movement by other ways",
        },
        Control {
            id: "CC7.2",
            asks: "System components are monitored for anomalies",
            evidence: monitored,
            not_shown: "What was done about them",
        },
        Control {
            id: "CC7.3",
            asks: "Security events are evaluated",
            evidence: monitored,
            not_shown: "The evaluation itself",
        },
        Control {
            id: "CC8.1",
            asks: "Changes are authorised and documented",
            evidence: changed,
            not_shown: "Who authorised them; changes of audited systems",
        },
        Control {
            id: "C1.1",
            asks: "Confidential information is identified",
            evidence: sensitive,
            not_shown: "Whether the catalogue of sensitivities is complete",
        },
    ],
};

static ISO27001: Named = Named {
    title: "Evidence of MCP interactions for ISO/IEC 27001",
    heading: "Controls of Annex A it speaks to",
    introduction: "By ISO/IEC 27001:2022, Annex A.",
    controls: &[
        Control {
            id: "A.5.15",
            asks: "Access control",
            evidence: access,
            not_shown: "The rules themselves, and access by other ways",
        },
        Control {
            id: "A.5.25",
            asks: "Assessment and decision on information security events",
            evidence: monitored,
            not_shown: "The assessment itself",
        },
        Control {
            id: "A.5.28",
            asks: "Collection of evidence",
            evidence: logged,
            not_shown: "Custody outside this log: keep checkpoints elsewhere",
        },
        Control {
            id: "A.5.33",
            asks: "Protection of records",
            evidence: logged,
            not_shown: "Backups of the log",
        },
        Control {
            id: "A.5.34",
            asks: "Privacy and protection of personal data",
            evidence: sensitive,
            not_shown: "Lawfulness of processing",
        },
        Control {
            id: "A.8.3",
            asks: "Information access restriction",
            evidence: sensitive,
            not_shown: "Access by other ways than MCP",
        },
        Control {
            id: "A.8.5",
            asks: "Secure authentication",
            evidence: access,
            not_shown: "How credentials are issued and kept",
        },
        Control {
            id: "A.8.12",
            asks: "Data leakage prevention",
            evidence: sensitive,
            not_shown: "Nothing is prevented: the auditor changes no traffic",
        },
        Control {
            id: "A.8.15",
            asks: "Logging",
            evidence: logged,
            not_shown: "Logs of other systems",
        },
        Control {
            id: "A.8.16",
            asks: "Monitoring activities",
            evidence: monitored,
            not_shown: "What was done about findings",
        },
        Control {
            id: "A.8.17",
            asks: "Clock synchronization",
            evidence: |_| {
                "Each event says whether the host's clock was synchronized, and its possible error (environment.clock)".to_owned()
            },
            not_shown: "The source of time",
        },
        Control {
            id: "A.8.24",
            asks: "Use of cryptography",
            evidence: encrypted,
            not_shown: "Strength of the encryption",
        },
        Control {
            id: "A.8.32",
            asks: "Change management",
            evidence: changed,
            not_shown: "Changes of audited systems",
        },
    ],
};

static GDPR: Named = Named {
    title: "Evidence of MCP interactions for the GDPR",
    heading: "Articles it speaks to",
    introduction: "By Regulation (EU) 2016/679. The record names things and kinds of data, never the data itself.",
    controls: &[
        Control {
            id: "Art. 5(1)(f)",
            asks: "Integrity and confidentiality",
            evidence: sensitive,
            not_shown: "Processing by other ways than MCP",
        },
        Control {
            id: "Art. 5(2)",
            asks: "Accountability",
            evidence: logged,
            not_shown: "Purposes and lawfulness",
        },
        Control {
            id: "Art. 25",
            asks: "Data protection by design and by default",
            evidence: |_| {
                "Contents of messages are not kept unless configured, and then redacted (docs/privacy.md)".to_owned()
            },
            not_shown: "Design of the audited systems",
        },
        Control {
            id: "Art. 30",
            asks: "Records of processing activities",
            evidence: sensitive,
            not_shown: "It is no such record: purposes, recipients and periods are missing",
        },
        Control {
            id: "Art. 32(1)(b)",
            asks: "Ongoing confidentiality and integrity of systems",
            evidence: access,
            not_shown: "Availability",
        },
        Control {
            id: "Art. 32(1)(d)",
            asks: "Regular testing of measures",
            evidence: |_| {
                "`mcp-auditor exercise` plays an incident whose truth is known, and scores the record".to_owned()
            },
            not_shown: "Whether it was done: keep its score",
        },
        Control {
            id: "Art. 33, 34",
            asks: "Notification of breaches: nature, categories, approximate number of records",
            evidence: |facts| {
                format!(
                    "{}; rows that came back are in `rows` of each event, kinds of data in `classes`",
                    monitored(facts)
                )
            },
            not_shown: "Whose data it was: contents are not kept",
        },
    ],
};
