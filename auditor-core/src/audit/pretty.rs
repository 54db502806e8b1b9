//! Writes an event as one aligned line for people: when, who to whom, what, how much, how it ended.
//!
//! Names come from whoever is audited: control characters are shown as `·`, so that no name can
//! drive the terminal. Lines are [`COLUMNS`] wide where the names allow it.

use std::fmt::Write;

use super::{
    detected::DetectionEvent,
    event::{AuditEvent, Party},
    finding::FindingEvent,
    ocsf::{exe_name, is_open},
    outcome,
};
use crate::{
    identity::Use,
    key::Side,
    mcp::{Direction, Interaction, Kind, Outcome, Part},
};

/// The width lines aim at.
pub const COLUMNS: usize = 100;

const WHO: usize = 14;
const WHAT: usize = 27;

impl FindingEvent {
    /// Appends the finding as one line for people, without the line's end.
    pub fn write_pretty(&self, colours: bool, out: &mut String) {
        let paint = Paint { on: colours };
        paint.put(out, DIM, &clock(self.finding.second.time.0));
        out.push_str("  ");
        let name = |user: &Use| {
            let subject = user.identity.as_ref().and_then(|one| one.subject.clone());
            let exe = exe_name(&user.process).unwrap_or("?");
            let subject = subject.filter(|subject| !subject.starts_with("exe:"));
            let subject = subject.map_or(String::new(), |subject| format!(" ({subject})"));
            format!("{exe}[{}]{subject}", user.process.key.pid)
        };
        let second = name(&self.finding.second);
        let who = match &self.finding.first {
            Some(first) => format!("{}, then {second}", name(first)),
            None => second,
        };
        paint.put(out, RED, &format!("! {}: ", self.title()));
        out.extend(who.chars().map(harmless));
    }
}

impl DetectionEvent {
    /// Appends the finding as one line for people, without the line's end.
    pub fn write_pretty(&self, colours: bool, out: &mut String) {
        let paint = Paint { on: colours };
        paint.put(out, DIM, &clock(self.event.time().0));
        out.push_str("  ");
        let (severity, _) = self.severity();
        let title = format!("! {}: ", self.hit.rule.title);
        let title: String = title.chars().map(harmless).collect();
        paint.put(out, if severity >= 4 { RED } else { YELLOW }, &title);
        let name = |party: &Party| {
            let process = party.process.as_deref();
            process.and_then(exe_name).unwrap_or("?").to_owned()
        };
        let mut who = format!(
            "{} → {}",
            name(&self.event.client),
            name(&self.event.server)
        );
        if let Some(target) = &self.event.interaction.target {
            who.push(' ');
            who.push_str(target);
        }
        out.extend(who.chars().map(harmless));
    }
}

impl AuditEvent {
    /// Appends the event as one line for people, without the line's end.
    pub fn write_pretty(&self, colours: bool, out: &mut String) {
        let paint = Paint { on: colours };
        let interaction = &self.interaction;
        paint.put(out, DIM, &clock(self.time().0));
        out.push_str("  ");
        let arrow = match interaction.direction {
            Direction::ClientToServer => "→",
            Direction::ServerToClient => "←",
        };
        let client = interaction.session.client_side;
        fit(out, &who(self, &self.client, client), WHO, Align::Right);
        let _ = write!(out, " {arrow} ");
        fit(
            out,
            &who(self, &self.server, client.other()),
            WHO,
            Align::Left,
        );
        out.push_str("  ");
        let mut what = match (interaction.kind, &interaction.method) {
            (Kind::Gap, _) => gap(interaction),
            (_, Some(method)) => method.clone(),
            (_, None) => format!("answer {}", interaction.rpc_id.as_deref().unwrap_or("?")),
        };
        if let Some(target) = &interaction.target {
            what.push(' ');
            what.push_str(target);
        }
        let mut shown = String::new();
        fit(&mut shown, &what, WHAT, Align::Left);
        paint.put(
            out,
            if interaction.kind == Kind::Gap {
                YELLOW
            } else {
                BOLD
            },
            &shown,
        );
        out.push(' ');
        fit(out, &sizes(self), 9, Align::Right);
        out.push(' ');
        let duration = self
            .end_time()
            .filter(|_| interaction.kind == Kind::Request);
        let duration = duration.map_or(String::new(), |end| human_time(end.since(self.time())));
        fit(out, &duration, 5, Align::Right);
        out.push_str("  ");
        let code = outcome::status_code(interaction).unwrap_or_default();
        let (colour, ended) = match (interaction.kind, &interaction.outcome) {
            _ if is_open(self) => (YELLOW, "… open".to_owned()),
            (Kind::Gap, _) => (YELLOW, format!("! {code}")),
            (_, Outcome::Pending) => (DIM, "·".to_owned()),
            (_, Outcome::Success) => (GREEN, "✓".to_owned()),
            (_, Outcome::InputRequired) => (YELLOW, "? input".to_owned()),
            (_, Outcome::Failure(_)) => (RED, format!("✗ {code}")),
        };
        paint.put(out, colour, &ended);
    }
}

/// What is missing; of a connection that was not heard, the server's name.
fn gap(interaction: &Interaction) -> String {
    let name = interaction
        .unheard
        .as_ref()
        .and_then(|unheard| unheard.server_name.as_deref());
    name.map_or_else(|| String::from("gap"), |name| format!("gap {name}"))
}

const DIM: &str = "\x1b[2m";
const BOLD: &str = "\x1b[1m";
const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";
const YELLOW: &str = "\x1b[33m";
const PLAIN: &str = "\x1b[0m";

struct Paint {
    on: bool,
}

impl Paint {
    fn put(&self, out: &mut String, colour: &str, text: &str) {
        if self.on {
            let _ = write!(out, "{colour}{text}{PLAIN}");
        } else {
            out.push_str(text);
        }
    }
}

enum Align {
    Left,
    Right,
}

/// Appends a text in exactly `width` columns, cut with `…`, control characters made harmless.
fn fit(out: &mut String, text: &str, width: usize, align: Align) {
    let length = text.chars().count();
    let padding = " ".repeat(width.saturating_sub(length));
    if matches!(align, Align::Right) {
        out.push_str(&padding);
    }
    if length <= width {
        out.extend(text.chars().map(harmless));
    } else {
        out.extend(text.chars().take(width.saturating_sub(1)).map(harmless));
        out.push('…');
    }
    if matches!(align, Align::Left) {
        out.push_str(&padding);
    }
}

/// A character that cannot drive the terminal.
fn harmless(c: char) -> char {
    if is_hostile(c) { '·' } else { c }
}

/// Characters that would move the cursor, change colours or reverse the text.
fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Program and pid, the name cut so that the pid is always there; of a remote side its address.
fn who(event: &AuditEvent, party: &Party, side: Side) -> String {
    let Some(actor) = party.actor else {
        let socket = event.channel.as_ref().and_then(|channel| channel.socket);
        return socket.map_or("?".to_owned(), |socket| {
            let address = if side == Side::A { socket.a } else { socket.b };
            format!("{}:{}", address.ip().to_canonical(), address.port())
        });
    };
    let name = party.process.as_deref().and_then(exe_name).unwrap_or("?");
    let pid = actor.process.pid.to_string();
    let room = WHO.saturating_sub(pid.len() + 1);
    let mut who = String::new();
    fit(&mut who, name, name.chars().count().min(room), Align::Left);
    who + ":" + &pid
}

/// `HH:MM:SS.mmm`, UTC.
fn clock(nanos: u64) -> String {
    let millis = nanos / 1_000_000 % 86_400_000;
    let seconds = millis / 1000;
    format!(
        "{:02}:{:02}:{:02}.{:03}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        millis % 1000
    )
}

fn sizes(event: &AuditEvent) -> String {
    let interaction = &event.interaction;
    if let Some(gap) = &interaction.gap {
        return human_size(gap.range.end.saturating_sub(gap.range.start));
    }
    let size = |part: &Option<Part>| part.as_ref().map(|part| human_size(part.bytes));
    match (size(&interaction.request), size(&interaction.response)) {
        (Some(request), Some(response)) => format!("{request}/{response}"),
        (Some(one), None) => one,
        (None, one) => one.map_or(String::new(), |one| format!("/{one}")),
    }
}

/// At most five characters: `999`, `1.2k`, `640k`, `16M`.
fn human_size(bytes: u64) -> String {
    human(bytes, 1000, &["", "k", "M", "G", "T"])
}

/// At most six characters: `850ns`, `1.2ms`, `12s`.
fn human_time(nanos: u64) -> String {
    if nanos < 1_000_000_000_000 {
        human(nanos, 1000, &["ns", "µs", "ms", "s"])
    } else {
        format!("{}s", nanos / 1_000_000_000)
    }
}

fn human(value: u64, step: u64, units: &[&str]) -> String {
    let (mut whole, mut rest, mut unit) = (value, 0, 0);
    while whole >= step && unit + 1 < units.len() {
        rest = whole % step;
        whole /= step;
        unit += 1;
    }
    let name = units.get(unit).copied().unwrap_or_default();
    match (whole < 10 && unit > 0, rest * 10 / step) {
        (true, tenth) if tenth > 0 => format!("{whole}.{tenth}{name}"),
        _ => format!("{whole}{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_short() {
        let sizes = [0, 999, 1000, 1234, 12_345, 999_999, 16 << 20, u64::MAX];
        let shown = ["0", "999", "1k", "1.2k", "12k", "999k", "16M", "18446744T"];
        assert_eq!(sizes.map(human_size), shown);
        let times = [0, 999, 1500, 12_000_000, 3_200_000_000, 61_000_000_000];
        assert_eq!(
            times.map(human_time),
            ["0ns", "999ns", "1.5µs", "12ms", "3.2s", "61s"]
        );
        assert_eq!(clock(1_800_000_000_123_000_000), "08:00:00.123");
    }

    #[test]
    fn texts_fit_their_columns_and_cannot_drive_the_terminal() {
        let fitted = |text: &str, align| {
            let mut out = String::new();
            fit(&mut out, text, 6, align);
            out
        };
        assert_eq!(fitted("abc", Align::Left), "abc   ");
        assert_eq!(fitted("abc", Align::Right), "   abc");
        assert_eq!(fitted("abcdefgh", Align::Left), "abcde…");
        assert_eq!(fitted("\u{1b}[2J\n\u{202e}", Align::Left), "·[2J··");
    }
}
