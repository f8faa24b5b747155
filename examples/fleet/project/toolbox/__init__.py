"""Small tools. Eight of them, each with a bug."""

REPAIRED = "nothing yet"
