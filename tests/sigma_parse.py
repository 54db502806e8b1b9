#!/usr/bin/env python3
"""Has pySigma, which nobody here wrote, parse every rule of the folders named. Exits 1 where one has an error."""

import pathlib
import sys

from sigma.collection import SigmaCollection
from sigma.correlations import SigmaCorrelationRule


def main():
    count, ids, wrong = 0, set(), []
    for folder in map(pathlib.Path, sys.argv[1:]):
        for path in sorted(folder.glob("*.yml")):
            rules = SigmaCollection.from_yaml(path.read_text(encoding="utf-8"), collect_errors=True)
            rules.resolve_rule_references()
            for rule in rules.rules:
                count += 1
                wrong += [f"{path.name}: {error}" for error in rule.errors]
                if rule.id is None or rule.id in ids:
                    wrong.append(f"{path.name}: no id of its own: {rule.id}")
                ids.add(rule.id)
                if not isinstance(rule, SigmaCorrelationRule) and rule.logsource.product != "mcp":
                    wrong.append(f"{path.name}: not for MCP")
            wrong += [f"{path.name}: {error}" for error in rules.errors]
    print(f"{count} rules, {len(wrong)} errors")
    print(*wrong, sep="\n")
    sys.exit(bool(wrong) or count == 0)


if __name__ == "__main__":
    main()
