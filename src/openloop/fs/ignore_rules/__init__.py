"""Which files a project ignores, by git's rules or by its .gitignore files.

`reader` finds and reads the files, `rules` matches paths.
"""
