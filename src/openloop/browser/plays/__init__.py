"""The file of a play: its schema, its values, and the syntax of locators and keys in it.

`play.load` reads one.
"""
