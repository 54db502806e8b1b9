#!/usr/bin/env python3
"""Validates events against OCSF 1.8.0: interactions as api_activity, findings as detection_finding or data_security_finding,
what happens to the auditor itself as application_lifecycle.

Reads JSON lines from the files named, or from standard input. Each event is judged with the
profiles it names in metadata.profiles. Prints the first errors and exits 1 if there are any.
Needs the packages of requirements.txt.
"""

import argparse
import functools
import json
import pathlib
import sys

import jsonschema
import ocsf_json_schema

VERSION = "1.8.0"
CLASSES = {
    6002: "application_lifecycle",
    6003: "api_activity",
    2004: "detection_finding",
    2006: "data_security_finding",
}


@functools.cache
def source():
    folder = pathlib.Path(ocsf_json_schema.__file__).parent / "ocsf"
    schema = json.loads((folder / f"{VERSION}.json").read_text())
    return ocsf_json_schema.OcsfJsonSchemaEmbedded(schema)


@functools.cache
def validator(name, profiles):
    schema = source().get_class_schema(name, list(profiles))
    return jsonschema.Draft202012Validator(schema)


def errors(line):
    """Yields what is wrong with one line."""
    try:
        event = json.loads(line)
    except ValueError as error:
        yield f"not JSON: {error}"
        return
    if not isinstance(event, dict):
        yield "not an object"
        return
    metadata = event.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    if metadata.get("version") != VERSION:
        yield f"metadata.version is {metadata.get('version')!r}, not {VERSION!r}"
    name = CLASSES.get(event.get("class_uid"))
    if name is None:
        yield f"class_uid {event.get('class_uid')} is none of {sorted(CLASSES)}"
        return
    for error in validator(name, tuple(metadata.get("profiles", ()))).iter_errors(event):
        yield f"{error.json_path}: {error.message[:300]}"
    if event.get("type_uid") != event.get("class_uid", 0) * 100 + event.get("activity_id", 0):
        yield "type_uid is not class_uid * 100 + activity_id"
    if "mcp" not in event.get("unmapped", {}):
        yield "unmapped.mcp is missing"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=pathlib.Path, help="JSON lines; none: stdin")
    parser.add_argument("--most", type=int, default=10, help="errors to print (default 10)")
    arguments = parser.parse_args()
    sources = [(str(path), path.open(encoding="utf-8")) for path in arguments.files]
    count, wrong = 0, 0
    for name, lines in sources or [("stdin", sys.stdin)]:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            count += 1
            for error in errors(line):
                wrong += 1
                if wrong <= arguments.most:
                    print(f"{name}:{number}: {error}", file=sys.stderr)
    print(f"{count} events, {wrong} errors", file=sys.stderr)
    return 1 if wrong or not count else 0


if __name__ == "__main__":
    sys.exit(main())
