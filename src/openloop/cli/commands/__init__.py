"""One thin file for each subcommand: `add_arguments` declares its words, `run` returns the exit
code.

Those that take a WORKSPACE lie here, the others in `standalone`.
"""
