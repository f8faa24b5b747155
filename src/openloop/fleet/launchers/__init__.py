"""Launchers: how the loops of a fleet are started on an engine (this machine, ssh, Slurm).

`launcher` reads a launcher's JSON file, `calls` runs its commands, and `launch` is what the program
does that these commands start (`cli.launch`).
"""
