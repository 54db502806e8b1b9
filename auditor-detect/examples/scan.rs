//! Reads texts from standard input, a JSON string a line, and prints the names of the signs in each, a JSON list a line.

use std::io::{self, BufRead as _};

use auditor_detect::scan::Scanner;

fn main() -> io::Result<()> {
    let scanner = Scanner::default();
    for line in io::stdin().lock().lines() {
        let text: String = serde_json::from_str(&line?)?;
        let signs: Vec<_> = scanner
            .scan(&text)
            .into_iter()
            .map(|sign| sign.name())
            .collect();
        println!("{}", serde_json::to_string(&signs)?);
    }
    Ok(())
}
