"""Write what must never reach a terminal or a CI job's log as it is, then fail."""

import sys

LINES = (
    b"\x1b]0;owned\x07\x1b[2J\x1b[31mred\x1b[0m",
    b"::error::injected",
    b"::stop-commands::injected",
    b"\x9b31m \xc2\x9b31m \xe2\x80\xae reversed \x00 nul \xff\xfe",
    b"first\rsecond\x08\x08\x0b\x0c",
    b"\xe2\x80\xa8::error::injected after a line separator \x1b[31m\x1b]0;owned\x07",
)
sys.stdout.buffer.write(b"\n".join(LINES) + b"\n")
sys.exit(1)
