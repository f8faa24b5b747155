"""`openloop completion SHELL`: the script with which a shell completes commands and options.

Everything is taken from the parser of the command line itself, so that no option is forgotten.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum


class ArgumentKind(Enum):
    """The kind of word that an option or an argument takes."""

    NOTHING = "nothing"
    FOLDER = "folder"
    FILE = "file"
    CHOICE = "choice"
    TEXT = "text"  # nothing to propose


_METAVARS = {
    "WORKSPACE": ArgumentKind.FOLDER,
    "PATH": ArgumentKind.FOLDER,
    "FILE": ArgumentKind.FILE,
    "CASES": ArgumentKind.FILE,
    "DIR": ArgumentKind.FOLDER,
    "FLEET": ArgumentKind.FILE,
    "PLAY|URL": ArgumentKind.FILE,
    "COMMAND": ArgumentKind.FILE,
}
_FILES = ("source", "browser", "socket")  # by destination, where the metavar says PATH


@dataclass(frozen=True, slots=True)
class Parameter:
    """An option in all its spellings, or a positional argument by its name in the usage."""

    names: tuple[str, ...]
    help: str
    takes: ArgumentKind
    choices: tuple[str, ...] = ()
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Subcommand:
    name: str
    help: str
    options: tuple[Parameter, ...]
    arguments: tuple[Parameter, ...]


@dataclass(frozen=True, slots=True)
class Program:
    options: tuple[Parameter, ...]
    subcommands: tuple[Subcommand, ...]


def script(shell: str, parser: argparse.ArgumentParser) -> str:
    """The script for one of SHELLS."""
    return SHELLS[shell](_program(parser))


def _program(parser: argparse.ArgumentParser) -> Program:
    subcommands: list[Subcommand] = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            summaries = {choice.dest: _help(choice) for choice in action._choices_actions}
            for name, inner in action.choices.items():
                parameters = _parameters(inner, _known_names(name))
                subcommands.append(Subcommand(name, summaries[name], *parameters))
    return Program(_parameters(parser, {})[0], tuple(subcommands))


def _known_names(subcommand: str) -> dict[str, tuple[str, ...]]:
    """The names that a subcommand accepts although its parser lists no choices, by destination."""
    from openloop.agents import catalog
    from openloop.setup.missions import templates

    match subcommand:
        case "init":
            return {"agent": catalog.names(), "template": tuple(templates.names())}
        case "agents":
            return {"name": catalog.names()}
        case "templates":
            return {"name": tuple(templates.names())}
    return {}


def _parameters(
    parser: argparse.ArgumentParser, known: Mapping[str, tuple[str, ...]]
) -> tuple[tuple[Parameter, ...], tuple[Parameter, ...]]:
    """(options, positional arguments) of one parser. known: names by destination."""
    own = [a for a in parser._actions if not isinstance(a, argparse._SubParsersAction)]
    options = tuple(_parameter(a, tuple(a.option_strings), known) for a in own if a.option_strings)
    return options, tuple(_parameter(a, (_name(a),), known) for a in own if not a.option_strings)


def _name(action: argparse.Action) -> str:
    return str(action.metavar or action.dest)


def _help(action: argparse.Action) -> str:
    return (action.help or "").replace("%%", "%")


def _parameter(
    action: argparse.Action, names: tuple[str, ...], known: Mapping[str, tuple[str, ...]]
) -> Parameter:
    repeated = action.nargs in (argparse.REMAINDER, argparse.ZERO_OR_MORE, argparse.ONE_OR_MORE)
    if action.nargs == 0:
        return Parameter(names, _help(action), ArgumentKind.NOTHING)
    choices = tuple(map(str, action.choices or known.get(action.dest, ())))
    if choices:
        return Parameter(names, _help(action), ArgumentKind.CHOICE, choices, repeated)
    takes = _METAVARS.get(_name(action).split()[0], ArgumentKind.TEXT)
    if action.dest in _FILES:
        takes = ArgumentKind.FILE
    return Parameter(names, _help(action), takes, (), repeated)


def _listed(words: Iterable[str]) -> str:
    """Words for a shell that splits a quoted list at its spaces."""
    return shlex.quote(" ".join(words))


def _names(options: Iterable[Parameter]) -> list[str]:
    return [name for option in options for name in option.names]


def _joined(lines: Iterable[str]) -> str:
    return "\n".join(lines)


# --- bash -------------------------------------------------------------------------------


def _bash_values(program: Program) -> Iterator[str]:
    """A case for each option with a value: what may follow it."""
    for one in program.subcommands:
        for option in one.options:
            if option.takes is not ArgumentKind.NOTHING:
                pattern = "|".join(f"'{one.name} {name}'" for name in option.names)
                yield f"        {pattern}) {_bash_reply(option)}; return ;;"


def _bash_arguments(program: Program) -> Iterator[str]:
    """A case for each positional argument; the last one of a subcommand may be repeated."""
    for one in program.subcommands:
        for place, argument in enumerate(one.arguments, 1):
            is_last = place == len(one.arguments)
            pattern = f"'{one.name} '*" if is_last else f"'{one.name} {place}'"
            yield f"        {pattern}) {_bash_reply(argument)} ;;"


def _bash(program: Program) -> str:
    first = [*(one.name for one in program.subcommands), *_names(program.options)]
    options = [
        f"            {one.name}) _openloop_words {_listed(_names(one.options))} ;;"
        for one in program.subcommands
    ]
    return f"""# Completion of openloop for bash: source this, or put it into
# ~/.local/share/bash-completion/completions/openloop
_openloop_words() {{
    mapfile -t COMPREPLY < <(compgen -W "$1" -- "$word")
}}
_openloop_paths() {{
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen "$1" -- "$word")
}}
_openloop() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} place=1 i
    if [[ $word == = ]]; then
        word=
    elif [[ $before == = ]]; then
        before=${{COMP_WORDS[COMP_CWORD-2]}}
    fi
    COMPREPLY=()
    if [[ $COMP_CWORD -eq 1 ]]; then
        _openloop_words {_listed(first)}
        return
    fi
    case "${{COMP_WORDS[1]}} $before" in
{_joined(_bash_values(program))}
    esac
    if [[ $word == -* ]]; then
        case "${{COMP_WORDS[1]}}" in
{_joined(options)}
        esac
        return
    fi
    for ((i = 2; i < COMP_CWORD; i++)); do
        [[ ${{COMP_WORDS[i]}} == -* ]] || place=$((place + 1))
    done
    case "${{COMP_WORDS[1]}} $place" in
{_joined(_bash_arguments(program))}
    esac
}}
complete -F _openloop openloop
"""


def _bash_reply(word: Parameter) -> str:
    match word.takes:
        case ArgumentKind.CHOICE:
            return f"_openloop_words {_listed(word.choices)}"
        case ArgumentKind.FOLDER:
            return "_openloop_paths -d"
        case ArgumentKind.FILE:
            return "_openloop_paths -f"
    return ":"


# --- zsh --------------------------------------------------------------------------------


def _zsh(program: Program) -> str:
    described = (f"    {shlex.quote(f'{one.name}:{one.help}')}" for one in program.subcommands)
    cases = (_zsh_case(one) for one in program.subcommands)
    return f"""#compdef openloop
# Completion of openloop for zsh: source this after compinit, or put it into a folder of
# $fpath as _openloop
_openloop() {{
  local -a commands
  commands=(
{_joined(described)}
  )
  if (( CURRENT == 2 )); then
    if [[ $words[2] == -* ]]; then
      _arguments {" ".join(_zsh_options(program.options))}
    else
      _describe -t commands command commands
    fi
    return
  fi
  local command=$words[2]
  shift words
  (( CURRENT-- ))
  case $command in
{_joined(cases)}
  esac
}}
if [[ $funcstack[1] == _openloop ]]; then
  _openloop "$@"
else
  compdef _openloop openloop
fi
"""


def _zsh_case(one: Subcommand) -> str:
    specs = [*_zsh_options(one.options), *_zsh_arguments(one.arguments)]
    lines = (f"      {spec}" for spec in specs)
    return f"    {one.name})\n      _arguments \\\n" + " \\\n".join(lines) + " ;;"


def _zsh_options(options: Iterable[Parameter]) -> list[str]:
    specs = []
    for option in options:
        others = f"({' '.join(option.names)})" if len(option.names) > 1 else ""
        value = "" if option.takes is ArgumentKind.NOTHING else f":value:{_zsh_action(option)}"
        specs += [
            shlex.quote(f"{others}{name}[{_zsh_text(option.help)}]{value}") for name in option.names
        ]
    return specs


def _zsh_arguments(arguments: Iterable[Parameter]) -> list[str]:
    return [
        shlex.quote(
            f"{'*' if word.repeated else number}:{_zsh_text(word.names[0])}:{_zsh_action(word)}"
        )
        for number, word in enumerate(arguments, 1)
    ]


def _zsh_text(text: str) -> str:
    return "".join(f"\\{c}" if c in "[]:\\" else c for c in text)


def _zsh_action(word: Parameter) -> str:
    match word.takes:
        case ArgumentKind.CHOICE:
            return f"({' '.join(word.choices)})"
        case ArgumentKind.FOLDER:
            return "_files -/"
        case ArgumentKind.FILE:
            return "_files"
    return " "


# --- fish -------------------------------------------------------------------------------


def _fish(program: Program) -> str:
    begin = "complete -c openloop"
    lines = [
        "# Completion of openloop for fish: source this, or put it into",
        "# ~/.config/fish/completions/openloop.fish",
        f"{begin} -f",
        *(_fish_line(f"{begin} -n __fish_use_subcommand", option) for option in program.options),
    ]
    for one in program.subcommands:
        lines.append(f"{begin} -n __fish_use_subcommand -a {one.name} -d {_fish_text(one.help)}")
    for one in program.subcommands:
        inside = f"contains -- {one.name} (commandline -opc)[2]"
        lines += [_fish_line(f"{begin} -n '{inside}'", option) for option in one.options]
        for place, word in enumerate(one.arguments, 1):
            here = f'test (count (string match -v -- "-*" (commandline -opc))) -eq {place + 1}'
            only = f"; and {here}" if place < len(one.arguments) else ""
            lines.append(f"{begin} -n '{inside}{only}' {_fish_values(word)}")
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _fish_line(begin: str, option: Parameter) -> str:
    names = " ".join(
        f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names
    )
    value = "" if option.takes is ArgumentKind.NOTHING else f" -r {_fish_values(option)}"
    return f"{begin} {names}{value} -d {_fish_text(option.help)}"


def _fish_values(word: Parameter) -> str:
    match word.takes:
        case ArgumentKind.CHOICE:
            return f"-f -a {_fish_text(' '.join(word.choices))}"
        case ArgumentKind.FOLDER:
            return "-f -a '(__fish_complete_directories)'"
        case ArgumentKind.FILE:
            return "-F"
    return "-f"


def _fish_text(text: str) -> str:
    quoted = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{quoted}'"


SHELLS = {"bash": _bash, "zsh": _zsh, "fish": _fish}
