#!/usr/bin/env python3
"""Counts how many poisoned texts of mcp-stress-test, which nobody here wrote, the scanner has a sign for.

Arguments: the scanner's example, the least share to be found of texts for descriptions and parameters. Texts for errors
never stand in a definition, and what describes an attack rather than carrying it out is told apart. The corpus' own
harmless tools must have no sign.
"""

import importlib.util
import json
import pathlib
import subprocess
import sys

# Found rather than imported: only its data is wanted.
SOURCE = importlib.util.find_spec("mcp_stress_test").origin
DATA = pathlib.Path(SOURCE).parent / "patterns" / "data"


def scan(program, texts):
    lines = "".join(json.dumps(text) + "\n" for text in texts)
    output = subprocess.run([program], input=lines, capture_output=True, text=True, check=True).stdout
    return [json.loads(line) for line in output.splitlines()]


def main():
    program, least = sys.argv[1], float(sys.argv[2])
    payloads = json.loads((DATA / "payloads.json").read_text())["payloads"]
    patterns = json.loads((DATA / "patterns.json").read_text())["patterns"]
    corpora = {
        "payloads": [one["content"] for one in payloads if one.get("injection_point") in ("description", "parameter")],
        "patterns": [one["template"] for one in patterns if one.get("injection_point") in ("description", "parameter")],
        "categories": [one["template"] for one in patterns if "injection_point" not in one],
    }
    wrong = False
    for name, texts in corpora.items():
        found = scan(program, texts)
        hits = sum(bool(signs) for signs in found)
        print(f"{name}: {hits} of {len(texts)}")
        for text, signs in zip(texts, found):
            if not signs:
                print(f"  not found: {text[:100]}")
        wrong |= name != "categories" and hits < least * len(texts)
    tools = json.loads((DATA / "tools.json").read_text())["tools"]
    harmless = [one["description"] for one in tools]
    harmless += [part["description"] for one in tools for part in one["parameters"]]
    found = scan(program, harmless)
    for text, signs in zip(harmless, found):
        if signs:
            print(f"  harmless, but {signs}: {text[:100]}")
    print(f"harmless: {sum(bool(signs) for signs in found)} of {len(harmless)}")
    sys.exit(wrong or any(found))


if __name__ == "__main__":
    main()
