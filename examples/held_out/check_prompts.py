"""Print what each prompt says of the withheld cases; fail if it is more than counts."""

import json
import pathlib
import re
import sys

workspace = pathlib.Path(sys.argv[1])
lines = (workspace / "holdout" / "cases.jsonl").read_text(encoding="utf-8").splitlines()
withheld = [json.loads(line)["stdin"] for line in lines if not line.startswith("#")]
leaked = 0
for path in sorted(workspace.glob("artifacts/*-prompt.md")):
    prompt = path.read_text(encoding="utf-8")
    counts = re.findall(r"\d+ of \d+ cases", prompt)
    print(f"{path.name}: {', '.join(dict.fromkeys(counts)) or 'nothing'}")
    leaked += sum(inputs in prompt for inputs in withheld)
print(f"\n{leaked} of {len(withheld)} withheld inputs appear in a prompt")
sys.exit(leaked > 0)
