"""How a shell command begins: the programs that it starts first, and the scripts that they read.

Only what is certain is reported, without running anything: a name with a variable in it, what
follows a `cd`, and what an earlier command may have made are unknown.
"""

from __future__ import annotations

import re
import shlex

from openloop.config.shell_commands import SimpleCommand, simple_commands

# Wrappers run the command that follows them; the options listed take a word of their own.
_WRAPPERS = {
    "env": ("-u", "--unset"),
    "exec": ("-a",),
    "nohup": (),
    "nice": ("-n", "--adjustment"),
    "command": (),
    "time": ("-f", "-o", "--format", "--output"),
    "timeout": ("-k", "-s", "--kill-after", "--signal"),
}
_ELSEWHERE = ("-C", "--chdir", "-S", "--split-string")  # of env: another folder, another parser
_READS_ONLY = frozenset(
    ("cat", "cd", "echo", "export", "printf", "set", "true", "ulimit", "umask", ":")
)
_REDIRECTION = re.compile(r"[0-9]*(?:>>|>\||<<<|<>|[<>])(?P<target>.*)", re.DOTALL)
_UNCERTAIN = re.compile(r"[$`*?\[{]")
_OPTIONS = {  # of each interpreter: those that stand alone, and those that take the next word
    r"(?:ba|da|z|k)?sh": (
        r"[-+][abefhiklmnptuvxBCEHP]+|--(?:login|norc|noprofile|posix)",
        r"[-+][abefhiklmnptuvxBCEHP]*[oO]",
    ),
    r"python[\d.]*": (r"-[bBdEiIOPqsSuvx]+|-[WX]\S+", "-[WX]"),
    "node": (r"--(?:no-warnings|enable-source-maps)|--[\w-]+=\S*", "-r|--require"),
    "perl|ruby": ("-[wWt]", "(?!)"),
}


def without_wrappers(one: SimpleCommand) -> SimpleCommand | None:
    """The command that runs in the end, without `env` and its like; None when that is unknown."""
    words = list(one.words)
    while words and words[0] in _WRAPPERS:
        wrapper = words.pop(0)
        while words and (words[0].startswith("-") or (wrapper == "env" and "=" in words[0])):
            option = words.pop(0)
            if option == "--":
                break
            if wrapper == "env" and option.startswith(_ELSEWHERE):
                return None
            if wrapper == "command" and option in ("-v", "-V"):
                return None
            if option in _WRAPPERS[wrapper]:
                del words[:1]
        if wrapper == "timeout":
            del words[:1]
    return one._replace(words=words)


def opening_commands(text: str) -> list[SimpleCommand]:
    """The commands that start before any other could have written a file."""
    found = []
    for one in simple_commands(text):
        if one.depth or one.before == "||":
            break
        found.append(one)
        if not _only_reads(one) and one.after not in ("|", "|&"):
            break
    return found


def bare_command(text: str) -> str:
    """The program of the last command that does some work, with its subcommand: `npm test`,
    `python3 -m pytest`; "" when the text cannot be parsed."""
    for one in reversed(simple_commands(text)):
        inner = without_wrappers(one)
        if not inner or not inner.words or inner.is_trivial or inner.name in ("cd", "exit"):
            continue
        words = inner.words
        size = 3 if words[1:2] == ["-m"] else 2
        parts = [
            word for n, word in enumerate(words[:size]) if n == 0 or size == 3 or _is_name(word)
        ]
        return " ".join(parts)
    return ""


def _is_name(word: str) -> bool:
    return re.fullmatch(r"[A-Za-z][\w:-]*", word) is not None


def scripts(text: str) -> list[tuple[str, str]]:
    """(interpreter, path of the script that it reads first) of the opening commands. A path that is
    not absolute begins in the folder that the command runs in."""
    found = []
    for one in opening_commands(text):
        if one.name == "cd":
            break
        if one.after == "||":
            continue  # its failure is expected
        inner = without_wrappers(one)
        path = script_of(inner.words) if inner else ""
        if inner and path:
            found.append((inner.name, path))
    return found


def script_of(words: list[str]) -> str:
    """The path of the script that an interpreter is to run; "" for none, or when it is unknown."""
    words = _without_redirections(words)
    name = words[0].rpartition("/")[2] if words else ""
    if name == ".":
        return _plain(words[1]) if words[1:] and "/" in words[1] else ""
    for interpreter, (alone, with_value) in _OPTIONS.items():
        if re.fullmatch(interpreter, name):
            found = _first_argument(words[1:], alone, with_value)
            return "" if (name, found) == ("node", "inspect") else _plain(found)
    return ""


def _first_argument(words: list[str], alone: str, with_value: str) -> str:
    """The first word that is no option; "" once an option is not known: it may give the program
    itself (-c, -m, -e), or take the next word."""
    words = list(words)
    while words:
        word = words.pop(0)
        if word == "--":
            return words[0] if words else ""
        if re.fullmatch(with_value, word):
            del words[:1]
        elif not re.fullmatch(alone, word):
            return "" if word.startswith(("-", "+")) else word
    return ""


def _without_redirections(words: list[str]) -> list[str]:
    kept = []
    is_target = False
    for word in words:
        match = _REDIRECTION.fullmatch(word)
        if match:
            is_target = not match["target"]
        elif is_target:
            is_target = False
        else:
            kept.append(word)
    return kept


def _plain(word: str) -> str:
    """The text of a word of the shell; "" when the shell would put something else there. A ~ at its
    beginning stands for the home folder."""
    bare = re.sub(r"'[^']*'", "", word)
    if not word or _UNCERTAIN.search(bare):
        return ""
    try:
        parts = shlex.split(word)
    except ValueError:
        return ""
    text = parts[0] if len(parts) == 1 else ""
    return f"./{text}" if text.startswith("~") and not word.startswith("~") else text


def _only_reads(one: SimpleCommand) -> bool:
    return (not one.words or one.name in _READS_ONLY) and not any(">" in w for w in one.words)
