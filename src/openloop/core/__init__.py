"""What every package uses: errors and exit codes, the vocabulary of a run, text, time, usage.

`errors.OpenLoopError` is the error that every command may raise. `interpreter` says how OpenLoop
starts itself, isolated from the variables and the folder it is called in.
"""

MAY_IMPORT = ()
DOORS = ("errors", "vocabulary", "text", "clock", "interpreter", "usage")
