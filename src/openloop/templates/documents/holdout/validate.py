"""validate.py SCHEMA FOLDER: name every place where a JSON document breaks the schema."""

import json
import re
import sys
from pathlib import Path

KINDS = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
KINDS |= {"integer": int, "number": (int, float)}
KNOWN = {"$schema", "title", "description", "type", "enum", "required", "properties", "items"}
KNOWN |= {"additionalProperties", "minItems", "minLength", "minimum", "pattern"}


def is_of(kind, value):
    if isinstance(value, bool):
        return kind in (None, "boolean")
    return kind is None or isinstance(value, KINDS[kind])


def problems(value, rule, place):
    if unknown := set(rule) - KNOWN:
        sys.exit(f"the schema uses what is not known here: {', '.join(sorted(unknown))}")
    if not is_of(rule.get("type"), value):
        yield f"{place} is not of type {rule['type']}"
        return
    if "enum" in rule and value not in rule["enum"]:
        yield f"{place} is none of {rule['enum']}"
    if isinstance(value, dict):
        yield from (
            f"{place}/{key} is missing" for key in rule.get("required", ()) if key not in value
        )
        for key, inner in value.items():
            if key in rule.get("properties", {}):
                yield from problems(inner, rule["properties"][key], f"{place}/{key}")
            elif rule.get("additionalProperties") is False:
                yield f"{place}/{key} is not allowed"
    if isinstance(value, list):
        if len(value) < rule.get("minItems", 0):
            yield f"{place} has fewer than {rule['minItems']} entries"
        for number, inner in enumerate(value):
            yield from problems(inner, rule.get("items", {}), f"{place}/{number}")
    if isinstance(value, str):
        if len(value) < rule.get("minLength", 0):
            yield f"{place} is too short"
        if not re.search(rule.get("pattern", ""), value):
            yield f"{place} does not match {rule['pattern']}"
    if is_of("number", value) and value < rule.get("minimum", value):
        yield f"{place} is below {rule['minimum']}"


def main():
    schema = json.loads(Path(sys.argv[1]).read_text())
    paths = sorted(Path(sys.argv[2]).rglob("*.json"))
    found = []
    for path in paths:
        try:
            found += problems(json.loads(path.read_text()), schema, str(path))
        except ValueError as error:
            found.append(f"{path} is not JSON: {error}")
    print("\n".join(found) or f"{len(paths)} documents are valid")
    sys.exit(bool(found) or not paths)


if __name__ == "__main__":
    main()
