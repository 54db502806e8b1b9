//! The classifier: all rules of one configuration, and the scan.

use crate::{
    class::{Class, ClassId, Classes, Level},
    flat::Flat,
    gate::{Gate, Meaning},
    hits,
    keys::KeyTable,
    personal::Kind,
    report::Report,
    rules::{self, Allowlist, Rule},
    settings::{Error, Settings},
};

/// Largest input that settings can ask for, in bytes.
const MOST_INPUT: usize = 64 << 20;

/// Says what kinds of data a text holds.
///
/// Expressions are compiled when first needed, so the first texts take longer. It keeps nothing
/// of what it reads and can be shared between threads.
#[derive(Debug)]
pub struct Classifier {
    classes: Classes,
    pub(crate) rules: Vec<Rule>,
    /// Rules without keywords, tried on all text.
    pub(crate) ungated: Vec<u16>,
    pub(crate) gate: Gate,
    pub(crate) global_allow: Allowlist,
    pub(crate) has_personal: bool,
    email: Option<ClassId>,
    card: Option<ClassId>,
    iban: Option<ClassId>,
    phone: Option<ClassId>,
    national: Option<ClassId>,
    ip: Option<ClassId>,
    keys: KeyTable,
    max_input: usize,
}

impl Classifier {
    /// Reads the built-in rules and those of `settings`.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        let mut unknown: Vec<&String> = settings.leave_out.iter().collect();
        let mut left_out = |rule: &str| {
            unknown.retain(|name| *name != rule);
            settings.leave_out.iter().any(|name| name == rule)
        };
        let mut classes = Classes::default();
        let (mut rules, global_allow) = rules::built_in(&mut classes, &mut left_out)?;
        if !settings.secrets {
            rules.clear();
        }
        let mut personal = |name: &str, level| {
            let wanted = !left_out(name) && settings.personal;
            wanted.then(|| classes.id(name, level))
        };
        let email = personal("pii.email", Level::Confidential);
        let card = personal("pii.payment_card", Level::Restricted);
        let iban = personal("pii.iban", Level::Restricted);
        let phone = personal("pii.phone", Level::Confidential);
        let national = personal("pii.national_id", Level::Restricted);
        let ip = personal("pii.ip_address", Level::Internal);
        let mut keys = KeyTable::default();
        keys.built_in(
            &mut classes,
            settings.secrets,
            settings.personal,
            &mut left_out,
        );
        if let Some(rule) = unknown.first() {
            return Err(Error::UnknownRule {
                rule: (*rule).clone(),
            });
        }
        for names in &settings.key_names {
            let id = classes.id(&format!("custom.{}", names.class), names.level);
            keys.custom(id, names)?;
        }
        let mut words = Vec::new();
        for dictionary in &settings.dictionaries {
            let id = classes.id(&format!("custom.{}", dictionary.class), dictionary.level);
            check_words(&dictionary.class, &dictionary.words)?;
            words.extend(
                dictionary
                    .words
                    .iter()
                    .map(|word| (word.clone(), Meaning::Word(id))),
            );
        }
        for custom in &settings.patterns {
            let class = format!("custom.{}", custom.class);
            let id = classes.id(&class, custom.level);
            check_words(&custom.class, &custom.keywords)?;
            rules.push(Rule::custom(id, &class, &custom.regex, &custom.keywords)?);
        }
        let mut ungated = Vec::new();
        for (number, rule) in (0_u16..).zip(&rules) {
            if rule.keywords.is_empty() {
                ungated.push(number);
            }
            words.extend(
                rule.keywords
                    .iter()
                    .map(|word| (word.clone(), Meaning::Rule(number))),
            );
        }
        Ok(Self {
            gate: Gate::new(words)?,
            has_personal: [email, card, iban, phone, national, ip]
                .iter()
                .any(Option::is_some),
            classes,
            rules,
            ungated,
            global_allow,
            email,
            card,
            iban,
            phone,
            national,
            ip,
            keys,
            max_input: settings.max_input.min(MOST_INPUT),
        })
    }

    /// Every class that a report may name.
    pub fn classes(&self) -> impl Iterator<Item = &Class> {
        self.classes.iter()
    }

    /// Says what `text`, a JSON text or the beginning of one, holds and where.
    ///
    /// What is not JSON is scanned as plain text from where it breaks. Of an input over the set
    /// size only the beginning is scanned.
    pub fn scan(&self, text: &[u8]) -> Report {
        let read = text.get(..self.max_input).unwrap_or(text);
        let flat = Flat::json(read, &self.keys);
        let mut report = self.report(&flat, read.len());
        report.is_whole &= read.len() == text.len();
        report
    }

    /// Says what a plain text holds: a URL, an error message. `is_whole` is `false` only if a
    /// bound was met.
    pub fn scan_text(&self, text: &str) -> Report {
        let bytes = text.as_bytes();
        let read = bytes.get(..self.max_input).unwrap_or(bytes);
        let mut flat = Flat::plain_text(read, &self.keys);
        flat.is_json = read.len() == bytes.len();
        self.report(&flat, read.len())
    }

    /// Lays out and searches a whole text; `None` if a bound was met.
    pub(crate) fn search(&self, text: &[u8], is_json: bool) -> Option<(Flat, hits::Hits<'_>)> {
        if text.len() > self.max_input {
            return None;
        }
        let flat = if is_json {
            Flat::json(text, &self.keys)
        } else {
            Flat::plain_text(text, &self.keys)
        };
        let hits = hits::search(self, &flat);
        (flat.is_complete && hits.is_complete && flat.is_json == is_json).then_some((flat, hits))
    }

    pub(crate) fn class(&self, id: ClassId) -> Option<&Class> {
        self.classes.get(id)
    }

    pub(crate) fn personal_class(&self, kind: Kind) -> Option<ClassId> {
        match kind {
            Kind::Email => self.email,
            Kind::PaymentCard => self.card,
            Kind::Iban => self.iban,
            Kind::Phone => self.phone,
            Kind::National(_) => self.national,
            Kind::Ip => self.ip,
        }
    }

    fn report(&self, flat: &Flat, scanned: usize) -> Report {
        let hits = hits::search(self, flat);
        let class = |id| self.classes.get(ClassId(u16::try_from(id).ok()?)).cloned();
        Report::new(flat, &hits, class, scanned)
    }
}

fn check_words(class: &str, words: &[String]) -> Result<(), Error> {
    if words.iter().any(String::is_empty) {
        return Err(Error::EmptyWord {
            class: class.to_owned(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
