use proptest::prelude::*;

use super::*;
use crate::sql::Readings;

fn read(server: &str, tool: &str, arguments: &str) -> Declared {
    let message = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{tool}","arguments":{arguments}}}}}"#
    );
    let call = Call {
        servers: &[server],
        method: "tools/call",
        target: Some(tool),
        message: message.as_bytes(),
        formats: &[("/homepage".into(), "uri".into())],
    };
    Declared::read(
        &call,
        &Rules::built_in().unwrap(),
        &Catalogue::built_in().unwrap(),
        &mut Readings::default(),
    )
}

fn named(declared: &Declared) -> Vec<String> {
    let rest = declared.resources.iter().skip(1);
    rest.map(|one| {
        format!(
            "{} {} {} {} {}",
            one.kind.name(),
            one.name,
            one.operation.name(),
            one.place,
            one.basis.name()
        )
    })
    .collect()
}

#[test]
fn a_rule_names_what_the_arguments_of_a_published_server_are() {
    let declared = read(
        "sqlite",
        "read_query",
        r#"{"query":"SELECT name FROM customers"}"#,
    );
    assert_eq!(
        named(&declared),
        ["table customers select /query builtin_rule"]
    );
    assert_eq!(declared.resources[0].kind, Kind::Tool);
    assert_eq!(declared.resources[1].parts, ["name"]);
    assert_eq!(
        declared.resources[1]
            .sensitivity
            .as_ref()
            .unwrap()
            .level
            .name(),
        "confidential"
    );
    let declared = read(
        "secure-filesystem-server",
        "read_multiple_files",
        r#"{"paths":["/a/../b","/c"]}"#,
    );
    assert_eq!(
        named(&declared),
        [
            "file /b read /paths/0 builtin_rule",
            "file /c read /paths/1 builtin_rule"
        ]
    );
    let declared = read(
        "github-mcp-server",
        "get_file",
        r#"{"owner":"octo","repo":"hello","path":"README.md"}"#,
    );
    assert_eq!(
        named(&declared),
        [
            "repository octo/hello read /owner builtin_rule",
            "file README.md unknown /path argument_name"
        ]
    );
}

#[test]
fn what_no_rule_knows_is_told_by_form_and_name() {
    let declared = read(
        "x",
        "y",
        r#"{"sql":"DELETE FROM t","where":{"filePath":"/etc/./shadow","to":["Bob <bob@e.org>","no"],
        "other":"https://e.com/a?k=v","query":"cheap shoes"},"homepage":"https://h.com/"}"#,
    );
    assert_eq!(
        named(&declared),
        [
            "table t delete /sql argument_name",
            "file /etc/shadow unknown /where/filePath argument_name",
            "mailbox bob@e.org unknown /where/to/0 argument_name",
            "url https://e.com/a unknown /where/other value",
            "url https://h.com/ unknown /homepage schema",
        ]
    );
    assert_eq!(
        declared.resources[2]
            .sensitivity
            .as_ref()
            .unwrap()
            .level
            .name(),
        "restricted"
    );
}

#[test]
fn a_statement_that_cannot_be_read_is_told_as_unknown() {
    let declared = read("sqlite", "write_query", r#"{"query":"nonsense"}"#);
    assert_eq!(declared.query.unwrap().1.query_type, QueryType::Unknown);
}

#[test]
fn resources_and_prompts_are_named_by_their_method() {
    let call = |method, target| {
        let call = Call {
            servers: &["s"],
            method,
            target: Some(target),
            message: b"{}",
            formats: &[],
        };
        named(&Declared::read(
            &call,
            &Rules::default(),
            &Catalogue::default(),
            &mut Readings::default(),
        ))
    };
    assert_eq!(
        call("resources/read", "file:///a/b"),
        ["file /a/b read  method"]
    );
    assert_eq!(call("prompts/get", "greet"), [""; 0]);
}

#[test]
fn what_is_beyond_a_bound_is_said() {
    let many: Vec<String> = (0..100).map(|at| format!("\"/f/{at}\"")).collect();
    let declared = read("x", "y", &format!(r#"{{"paths":[{}]}}"#, many.join(",")));
    assert_eq!(
        (declared.resources.len(), declared.is_cut),
        (RESOURCES, true)
    );
    let deep = format!("{}\"x\"{}", "{\"a\":".repeat(40), "}".repeat(40));
    assert!(read("x", "y", &deep).is_cut);
    let large = format!(
        r#"{{"path":"/a","in":{{"in":{{"path":"/b"}}}},"text":"{}"}}"#,
        "x".repeat(LARGE)
    );
    let declared = read("x", "y", &large);
    assert_eq!(
        (named(&declared), declared.is_cut),
        (vec!["file /a unknown /path argument_name".to_owned()], true)
    );
}

proptest! {
    #[test]
    fn any_bytes_are_survived(input in proptest::collection::vec(any::<u8>(), 0..300)) {
        static BUILT_IN: std::sync::LazyLock<(Rules, Catalogue)> =
            std::sync::LazyLock::new(|| (Rules::built_in().unwrap(), Catalogue::built_in().unwrap()));
        fuzz_call(&input, &BUILT_IN.0, &BUILT_IN.1);
        let call = [br#"{"params":{"arguments":{"query":"SELECT "#, &input[..]].concat();
        fuzz_call(&call, &BUILT_IN.0, &BUILT_IN.1);
    }
}
