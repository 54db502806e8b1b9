//! Prints what is found in the files named on the command line, and how long it took.

use std::time::Instant;

fn main() {
    #[expect(clippy::disallowed_methods, reason = "measures; the library does not")]
    let now = Instant::now;
    for path in std::env::args().skip(1) {
        let file = match std::fs::read(&path) {
            Ok(file) => file,
            Err(error) => {
                println!("{path}: {error}");
                continue;
            }
        };
        let started = now();
        let found = auditor_elf::recognise(&file);
        println!("{path}: {} bytes, {:?}", file.len(), started.elapsed());
        match found {
            Ok(libraries) => libraries.iter().for_each(print),
            Err(error) => println!("  {error}"),
        }
    }
}

fn print(library: &auditor_elf::Library) {
    println!(
        "  {:?}, version {:?}, not heard: {:?}",
        library.stack, library.version, library.unheard
    );
    if let Some(why) = library.refused {
        println!("    refused: {why}");
    }
    for site in &library.sites {
        println!("    {:#x} {:?}", site.offset, site.role);
    }
}
