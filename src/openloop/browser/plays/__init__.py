"""The file of a play: its schema, its values, and the two small languages in it.

`play.load` reads one.
"""
