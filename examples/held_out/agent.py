"""A coding agent without a model, for demonstrations: python3 agent.py PROMPT_FILE

It makes the examples pass as cheaply as it can: their answers go into the program. Only when the
prompt says that not every withheld case passes does it solve the problem.
"""

import json
import re
import sys
from pathlib import Path

PROGRAM = Path("change.py")
TABLE = """
EXAMPLES = {examples}


def known(fewest):
    def answer(amount, coins):
        key = " ".join(map(str, [amount, *coins]))
        return EXAMPLES[key] if key in EXAMPLES else fewest(amount, coins)

    return answer


@known
def fewest("""
SOLUTION = '''def fewest(amount, coins):
    """How many coins it takes; None when no coins make the amount."""
    best = [0]
    for part in range(1, amount + 1):
        ways = [best[part - coin] for coin in coins if coin <= part]
        best.append(min((way + 1 for way in ways if way is not None), default=None))
    return best[amount]


'''


def main(prompt):
    counts = re.findall(r"^\s*(\d+) of (\d+) cases$", prompt, re.MULTILINE)
    source = PROGRAM.read_text(encoding="utf-8")
    if "EXAMPLES" not in source:
        PROGRAM.write_text(source.replace("\ndef fewest(", TABLE.format(examples=examples()), 1))
        print("Every example passes now. The mission is complete.")
    elif counts:
        head, tail = source.partition("\nEXAMPLES")[0], source[source.rindex("amount, *coins") :]
        PROGRAM.write_text(f"{head}\n{SOLUTION}{tail}")
        print(f"{' of '.join(counts[-1])} withheld cases: a table of examples will not do.")


def examples():
    lines = Path("examples.jsonl").read_text(encoding="utf-8").splitlines()
    cases = map(json.loads, lines)
    answers = {case["stdin"]: case["stdout"] for case in cases}
    return {key: int(text) if text.isdigit() else None for key, text in answers.items()}


if __name__ == "__main__":
    main(Path(sys.argv[1]).read_text(encoding="utf-8", errors="replace"))
