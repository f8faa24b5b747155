"""The views of a fleet for people and programs. They never write.

`console` shows a live fleet, `status`, `explain` and `report` are the subcommands.
"""
