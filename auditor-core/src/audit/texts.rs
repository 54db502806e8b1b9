//! Texts that leave with every event and are no message: what programs call themselves, their arguments, heads of HTTP.
//!
//! They come again and again, so those in which nothing is private are remembered; no others, for a secret is not to be held.
//! Bound: [`KNOWN`] texts; longer ones than [`TEXT`] are looked at each time.

use std::sync::Arc;

use super::{
    activity::{Activity, What},
    content::Privacy,
    event::Party,
};
use crate::{
    mcp::{Interaction, Part, Peer},
    memory::Memory,
};

/// Texts remembered.
const KNOWN: usize = 8_192;
/// Bytes of a text that is remembered.
const TEXT: usize = 1_024;

/// Hides what is private in such texts.
#[derive(Debug, Default)]
pub(super) struct Texts {
    harmless: Memory<Box<str>, (), KNOWN>,
}

impl Texts {
    /// What a text becomes; `None` where it may stay.
    fn hidden(&mut self, text: &str, privacy: &Privacy) -> Option<String> {
        if self.harmless.get(text).is_some() {
            return None;
        }
        let shown = privacy.redactor.redact_name(text, &privacy.classifier);
        if shown != text {
            return Some(shown);
        }
        if text.len() <= TEXT {
            self.harmless.insert(text.into(), ());
        }
        None
    }

    fn hide(&mut self, text: &mut String, privacy: &Privacy) {
        if let Some(hidden) = self.hidden(text, privacy) {
            *text = hidden;
        }
    }

    fn is_private(&mut self, text: &str, privacy: &Privacy) -> bool {
        self.hidden(text, privacy).is_some()
    }

    /// What client and server call themselves, and the heads that carried the messages.
    pub(super) fn hide_in_interaction(&mut self, interaction: &mut Interaction, privacy: &Privacy) {
        let session = &interaction.session;
        let infos = [&session.client_info, &session.server_info];
        let mut names = infos
            .into_iter()
            .flatten()
            .flat_map(|info| [&info.name, &info.version]);
        let is_any_private = names.any(|name| self.is_private(name, privacy));
        drop(names);
        if is_any_private {
            let mut session = (**session).clone();
            for Peer { name, version } in [&mut session.client_info, &mut session.server_info]
                .into_iter()
                .flatten()
            {
                self.hide(name, privacy);
                self.hide(version, privacy);
            }
            interaction.session = Arc::new(session);
        }
        for part in [&mut interaction.request, &mut interaction.response]
            .into_iter()
            .flatten()
        {
            self.hide_in_head(part, privacy);
        }
    }

    fn hide_in_head(&mut self, part: &mut Part, privacy: &Privacy) {
        let Some(head) = &part.http else { return };
        let others = [&head.host, &head.user_agent, &head.content_type]
            .into_iter()
            .flatten();
        let mut texts = others.chain([&head.target]);
        let is_any_private = texts.any(|text| self.is_private(text, privacy));
        drop(texts);
        if is_any_private {
            let mut head = (**head).clone();
            self.hide(&mut head.target, privacy);
            for text in [&mut head.host, &mut head.user_agent, &mut head.content_type]
                .into_iter()
                .flatten()
            {
                self.hide(text, privacy);
            }
            part.http = Some(Arc::new(head));
        }
    }

    /// Names of files, programs and sockets, and what a path of HTTP says.
    pub(super) fn hide_in_activity(&mut self, activity: &mut Activity, privacy: &Privacy) {
        for entry in &mut activity.entries {
            match &mut entry.what {
                What::Program { path } | What::File { path, .. } => self.hide(path, privacy),
                What::Connection(noticed) => {
                    noticed
                        .path
                        .iter_mut()
                        .for_each(|path| self.hide(path, privacy));
                    if let Some((host, path)) = &mut noticed.http {
                        self.hide(host, privacy);
                        self.hide(path, privacy);
                    }
                }
            }
        }
        for text in activity
            .differences
            .iter_mut()
            .flat_map(|one| &mut one.rests_on)
        {
            self.hide(text, privacy);
        }
    }

    /// The arguments of a process.
    pub(super) fn hide_in_party(&mut self, party: &mut Party, privacy: &Privacy) {
        let Some(process) = &party.process else {
            return;
        };
        let mut arguments = process.cmdline.iter().flatten();
        let is_any_private = arguments.any(|argument| self.is_private(argument, privacy));
        if is_any_private {
            let mut process = (**process).clone();
            for argument in process.cmdline.iter_mut().flatten() {
                self.hide(argument, privacy);
            }
            party.process = Some(Arc::new(process));
        }
    }
}
