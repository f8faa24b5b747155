"""Print what became of each move, from the record; fail unless some was kept and some restored."""

import json
import pathlib
import sys

workspace = pathlib.Path(sys.argv[1])
counts = {"kept": 0, "restored": 0}
for artifact in sorted(workspace.glob("artifacts/round-*.json")):
    document = json.loads(artifact.read_text(encoding="utf-8"))
    for text in (document["policy"] or {}).get("checkpoints", ()):
        print(f"round {document['round']:2}  {text}")
        counts[text.partition(":")[0]] += 1
print(f"\n{counts['kept']} kept, {counts['restored']} restored")
sys.exit(not (counts["kept"] and counts["restored"]))
