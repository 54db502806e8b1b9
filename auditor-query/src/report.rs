//! `mcp-auditor report`: evidence for those who assess an organisation, as Markdown and HTML.
//!
//! Says what the log shows for a period, what it cannot show, and how both are proven. Says nowhere that a control is met:
//! that is for the assessor.

mod controls;
mod facts;
mod markdown;

use std::{fs, time::SystemTime};

use anyhow::{Context as _, Result, ensure};
use auditor_ledger::{Demands, Verdict, is_verifier_key, verify, witness::Witness};
use auditor_query_cli::{Report, time};

use self::{facts::Facts, markdown::Page};
use crate::source::{self, Progress};

/// Makes the report.
///
/// # Errors
/// When the log cannot be read, or a file cannot be written.
pub(crate) async fn execute(report: &Report) -> Result<()> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let to = report.to.unwrap_or(i64::try_from(now.as_millis())?);
    ensure!(report.from < to, "`--from` is not before `--to`");
    let (_, engine) = source::open(&report.log)?;
    let facts = Progress::during("counting", Facts::of(&engine, report.from, to)).await?;
    drop(engine);
    let verdict = verdict(report)?;
    let text = page(report, &facts, &verdict, to).text();
    if let Some(path) = &report.html {
        let title = controls::framework(report.framework).title;
        let html = markdown::html(title, &text);
        fs::write(path, html).with_context(|| format!("cannot write {}", path.display()))?;
    }
    match &report.markdown {
        Some(path) => {
            fs::write(path, &text).with_context(|| format!("cannot write {}", path.display()))?
        }
        None if report.html.is_none() => print!("{text}"),
        None => {}
    }
    Ok(())
}

/// Whether the log is as it was written.
fn verdict(report: &Report) -> Result<Verdict> {
    // What is wrong in the question is not held against the log.
    if let Some(key) = &report.key {
        ensure!(is_verifier_key(key), "`--key` is no verifier key of a log");
    }
    for key in &report.witness {
        let witness = Witness::read(key);
        witness.context("`--witness` is no verifier key of a witness")?;
    }
    let mut retained = Vec::new();
    for path in &report.checkpoint {
        let text = fs::read_to_string(path);
        retained
            .push(text.with_context(|| format!("cannot read the checkpoint {}", path.display()))?);
    }
    let folder = source::log_folder(&report.log);
    let demands = Demands {
        key: report.key.clone(),
        from: 0,
        retained,
        witnesses: report.witness.clone(),
    };
    verify(&folder, &demands).with_context(|| format!("cannot verify {}", folder.display()))
}

fn page(report: &Report, facts: &Facts, verdict: &Verdict, to: i64) -> Page {
    let framework = controls::framework(report.framework);
    let mut page = Page::new(framework.title);
    page.paragraph(&format!(
        "From {} to {} (UTC), of the host(s) {}. Made by mcp-auditor {} out of its log.",
        time::show(report.from),
        time::show(to),
        facts.hosts(),
        env!("CARGO_PKG_VERSION"),
    ));
    page.paragraph(
        "This is evidence, and no statement that a requirement is met: whether what is shown suffices is for the assessor to \
         say. It speaks of interactions over the Model Context Protocol on these hosts, and of nothing else.",
    );
    page.heading("Is the record whole?");
    verified(&mut page, report, verdict);
    facts.coverage(&mut page);
    page.heading("What the record shows");
    facts.figures(&mut page);
    page.heading(framework.heading);
    page.paragraph(framework.introduction);
    let rows = framework.controls.iter().map(|control| {
        vec![
            control.id.to_owned(),
            control.asks.to_owned(),
            (control.evidence)(facts),
            control.not_shown.to_owned(),
        ]
    });
    page.table(
        &[
            "Reference",
            "It asks for",
            "The record shows",
            "The record does not show",
        ],
        rows,
    );
    page.heading("How to check this");
    page.paragraph(
        "Each figure is the answer to a query that `mcp-auditor search` can be asked again over the same period; each event \
         that it counts can be proven to somebody who has nothing but the verifier key (`mcp-auditor search --proof`, \
         `mcp-auditor proof --check`). docs/verify.md says how a third party checks the log.",
    );
    page
}

/// What verification says, and the checkpoint it says it of.
fn verified(page: &mut Page, report: &Report, verdict: &Verdict) {
    match verdict {
        Verdict::Intact(intact) => {
            let mut lines = vec![
                format!(
                    "The log {} is intact: {} entries, root {}.",
                    intact.origin, intact.size, intact.root
                ),
                format!(
                    "It was signed by {} keys, one for each start of the auditor, each signed by the one before.",
                    intact.keys.len()
                ),
            ];
            lines.push(match (&report.key, report.checkpoint.len()) {
                (None, _) => "No key was named that is trusted: who can write the host's disk could have made another log. \
                              Name it by `--key`."
                    .to_owned(),
                (Some(_), 0) => "It begins with the key that is trusted. It was held against no checkpoint that was kept \
                                 elsewhere: name those by `--checkpoint`."
                    .to_owned(),
                (Some(_), count) => format!("It begins with the key that is trusted, and goes on from {count} checkpoints that were kept elsewhere."),
            });
            match &intact.cosigned {
                Some((size, who)) if !who.is_empty() => {
                    lines.push(format!(
                        "{size} entries were signed by the witnesses {}.",
                        who.join(", ")
                    ));
                }
                _ => lines.push("No witness that is named by `--witness` signed it.".to_owned()),
            }
            if intact.first > 0 {
                lines.push(format!(
                    "The entries before {} were removed by retention.",
                    intact.first
                ));
            }
            page.list(&lines);
        }
        Verdict::Tampered(found) => {
            page.paragraph(&format!(
                "THE LOG WAS TAMPERED WITH: {} ({}). Nothing below can be relied on.",
                found.what.name(),
                found.told
            ));
        }
    }
}
