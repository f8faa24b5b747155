"""Words that every package uses: errors and exit codes, the vocabulary of a run, text, time, usage.

`errors.OpenLoopError` is what every command may raise.
"""

MAY_IMPORT = ()
DOORS = ("errors", "vocabulary", "text", "clock", "interpreter", "usage")
