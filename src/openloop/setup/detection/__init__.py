"""Detection of languages, test commands and policy patterns from the files of a project."""
