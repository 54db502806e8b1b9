"""kube_schemas.py SWAGGER FOLDER: the schemas of Kubernetes' objects as kubeconform looks for them, one file a kind.

SWAGGER is the OpenAPI definition that Kubernetes' own source has. Members that it does not know are refused.
"""

import json
import sys
from pathlib import Path

INT_OR_STRING = {"oneOf": [{"type": "integer"}, {"type": "string"}]}


def strict(schema):
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("format") == "int-or-string":
        return INT_OR_STRING
    schema = {key: strict(value) for key, value in schema.items()}
    if isinstance(schema.get("$ref"), str):
        name = schema["$ref"].rsplit("/", 1)[1]
        return INT_OR_STRING if name.endswith("IntOrString") else {"$ref": f"#/definitions/{name}"}
    if "properties" in schema and isinstance(schema["properties"], dict):
        schema.setdefault("additionalProperties", False)
    return schema


def main(swagger, folder):
    definitions = {name: strict(one) for name, one in json.loads(Path(swagger).read_text())["definitions"].items()}
    for name, one in definitions.items():
        # A quantity may be written as a number.
        if name.endswith(".Quantity"):
            definitions[name] = {"oneOf": [{"type": "string"}, {"type": "number"}]}
    kinds = 0
    for name, one in definitions.items():
        for kind in one.get("x-kubernetes-group-version-kind", []):
            group = kind["group"].split(".")[0]
            parts = [kind["kind"].lower(), group, kind["version"]]
            whole = dict(one) | {"definitions": definitions}
            (Path(folder) / ("-".join(part for part in parts if part) + ".json")).write_text(json.dumps(whole))
            kinds += 1
            break
    assert kinds > 50, f"only {kinds} kinds"


if __name__ == "__main__":
    main(*sys.argv[1:])
