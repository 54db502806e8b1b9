//! A page of Markdown, and HTML of it. Names come from whoever is audited: none of them becomes markup.

use std::fmt::Write as _;

use pulldown_cmark::{Event, Options, Parser, html::push_html};

use crate::output::harmless;

/// A page that is written from above.
pub(super) struct Page(String);

impl Page {
    pub(super) fn new(title: &str) -> Self {
        Self(format!("# {}\n", escaped(title)))
    }

    pub(super) fn heading(&mut self, text: &str) {
        let _ = writeln!(self.0, "\n## {}", escaped(text));
    }

    pub(super) fn subheading(&mut self, text: &str) {
        let _ = writeln!(self.0, "\n### {}", escaped(text));
    }

    pub(super) fn paragraph(&mut self, text: &str) {
        let _ = writeln!(self.0, "\n{}", escaped(text));
    }

    pub(super) fn list(&mut self, items: &[String]) {
        self.0.push('\n');
        for item in items {
            let _ = writeln!(self.0, "- {}", escaped(item));
        }
    }

    pub(super) fn table(&mut self, names: &[&str], rows: impl Iterator<Item = Vec<String>>) {
        let line = |cells: &mut dyn Iterator<Item = String>| {
            format!("| {} |", cells.collect::<Vec<_>>().join(" | "))
        };
        let _ = writeln!(
            self.0,
            "\n{}",
            line(&mut names.iter().map(|name| escaped(name)))
        );
        let _ = writeln!(
            self.0,
            "{}",
            line(&mut names.iter().map(|_| "---".to_owned()))
        );
        for row in rows {
            let _ = writeln!(
                self.0,
                "{}",
                line(&mut row.iter().map(|cell| escaped(cell)))
            );
        }
    }

    pub(super) fn text(self) -> String {
        self.0
    }
}

/// A text that is nothing but text. `Code` in backquotes stays.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut is_code = false;
    let is_paired = text.matches('`').count().is_multiple_of(2);
    for c in harmless(text).chars() {
        match c {
            '`' if is_paired => is_code = !is_code,
            '|' => safe.push('\\'),
            c if !is_code && c.is_ascii_punctuation() && !".,:;()-/%=+'@".contains(c) => {
                safe.push('\\')
            }
            _ => {}
        }
        safe.push(c);
    }
    safe
}

/// A whole page of HTML, which loads nothing and runs nothing.
pub(super) fn html(title: &str, text: &str) -> String {
    const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a}\
        table{border-collapse:collapse;width:100%;margin:1rem 0}th,td{border:1px solid #c8c8c8;padding:.4rem .6rem;\
        text-align:left;vertical-align:top;overflow-wrap:anywhere}th{background:#f2f2f2}code{background:#f2f2f2;padding:0 .2rem}\
        @media print{body{max-width:none;margin:0}tr{break-inside:avoid}}";
    // No HTML is in the page's text; if it were, it would be shown as text.
    let events = Parser::new_ext(text, Options::ENABLE_TABLES).map(|event| match event {
        Event::Html(raw) | Event::InlineHtml(raw) => Event::Text(raw),
        other => other,
    });
    let mut body = String::new();
    push_html(&mut body, events);
    let mut head = String::new();
    push_html(&mut head, std::iter::once(Event::Text(title.into())));
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{head}</title>\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head>\n<body>\n{body}</body></html>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_never_markup() {
        let mut page = Page::new("Evidence");
        let evil = "a|b <script>alert(1)</script> [x](javascript:y) **b** `c\n# d".to_owned();
        page.table(&["name"], std::iter::once(vec![evil.clone()]));
        page.list(&[evil]);
        let html = html("Evidence <1>", &page.text());
        assert!(
            !html.contains("<script") && !html.contains("<a ") && !html.contains("<strong"),
            "{html}"
        );
        assert_eq!(html.matches("<h1>").count(), 1);
        assert_eq!(html.matches("<td>").count(), 1);
        assert!(
            html.contains("a|b &lt;script&gt;") && html.contains("<title>Evidence &lt;1&gt;"),
            "{html}"
        );
    }
}
