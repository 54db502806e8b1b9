//! The command line of mcp-auditor.
#![allow(dead_code)]
mod probe;
fn main() -> anyhow::Result<()> {
    let (side, mut ring, probes) = probe::KernelSide::load(16 << 20)?;
    for p in &probes { eprintln!("{p:?}"); }
    eprintln!("ready {}", side.programs());
    let t = std::time::Instant::now();
    while t.elapsed().as_secs() < 5 {
        ring.wait(std::time::Duration::from_millis(500))?;
        while ring.next(|r| {
            let h: auditor_common::record::Header = unsafe { std::ptr::read_unaligned(r.as_ptr().cast()) };
            let rest = &r[72..];
            println!("{h:?} {:?}", String::from_utf8_lossy(&rest[..rest.len().min(150)]));
        }) {}
    }
    println!("{:?} {:?}", side.counts()?, side.losses());
    Ok(())
}
