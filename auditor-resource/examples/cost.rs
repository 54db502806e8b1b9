#![allow(clippy::disallowed_methods, reason = "a measurement needs a clock")]
//! What naming the resources of a call of 1 KiB costs, by itself.

use std::{hint::black_box, time::Instant};

use auditor_resource::{Call, Catalogue, Declared, Returned, Rules, sql::Readings};

fn main() -> Result<(), auditor_resource::Error> {
    let (rules, catalogue) = (Rules::built_in()?, Catalogue::built_in()?);
    let mut readings = Readings::default();
    let filler = "x".repeat(700);
    let sql = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"read_query","arguments":{{"query":"SELECT name, email FROM customers c JOIN orders o ON o.customer = c.id WHERE c.note = '{filler}'"}}}}}}"#
    );
    let file = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"write_file","arguments":{{"path":"/srv/a/b.txt","content":"{filler}"}}}}}}"#
    );
    let result = format!(
        r#"{{"jsonrpc":"2.0","id":1,"result":{{"content":[{{"type":"text","text":"[{{\"a\":1,\"b\":\"{filler}\"}}]"}}]}}}}"#
    );
    for (name, server, tool, message) in [
        ("sql", "sqlite", "read_query", &sql),
        ("sql, database unknown", "x", "read_query", &sql),
        ("file", "secure-filesystem-server", "write_file", &file),
    ] {
        let call = Call {
            servers: &[server],
            method: "tools/call",
            target: Some(tool),
            message: message.as_bytes(),
            formats: &[],
        };
        time(name, || {
            drop(black_box(Declared::read(
                &call,
                &rules,
                &catalogue,
                &mut readings,
            )))
        });
    }
    time("result", || {
        drop(black_box(Returned::read(result.as_bytes())))
    });
    Ok(())
}

fn time(name: &str, mut run: impl FnMut()) {
    const TIMES: u32 = 20_000;
    (0..TIMES / 10).for_each(|_| run());
    let begin = Instant::now();
    (0..TIMES).for_each(|_| run());
    println!(
        "{name}: {:.2} us",
        begin.elapsed().as_secs_f64() * 1e6 / f64::from(TIMES)
    );
}
