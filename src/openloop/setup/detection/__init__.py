"""Detection of languages, test commands and policy patterns from the files of a project.

`detect` is the start: it asks a module for each kind of project and picks among the answers.
"""
