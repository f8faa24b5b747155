"""Presets for `openloop init --agent NAME`: how to call a coding agent unattended.

Each command was run against the CLI in the version named beside it: every flag is one that its
parser accepted. "edited" after it: against a scripted model, the agent read its prompt, changed
a file and ended, with nobody there to approve anything. The presets give what file edits need
and no more; the note says what that leaves out and how to allow it.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from openloop.core.errors import UsageError

SESSION = 3600.0  # seconds: what one agent session may last
# Agents think, wait and retry in silence, and go on: one was seen silent for 405 s.
STREAMING = 900.0  # seconds of silence allowed where events are printed as they happen
TERSE = 1800.0  # seconds of silence allowed where little is printed before the end


@dataclass(frozen=True, slots=True)
class Agent:
    """How to run one coding agent as `commands.fix` or `commands.improve`.

    run: the command, with `{prompt_file}` where it takes its task. Timeouts in seconds.
    state: what the agent keeps outside of the project, for `policy.writable`.
    reject: a regex for the log of a session that failed although it exits 0, or "".
    """

    name: str
    run: str
    note: str
    install: str
    state: tuple[str, ...]
    timeout_seconds: float = SESSION
    stall_timeout_seconds: float = STREAMING
    reject: str = ""

    @property
    def program(self) -> str:
        """What must be on PATH."""
        return self.run.split()[0]

    def as_command(self) -> dict[str, Any]:
        """The value for `commands.fix` or `commands.improve` in openloop.json."""
        command = {
            "run": self.run,
            "timeout_seconds": self.timeout_seconds,
            "stall_timeout_seconds": self.stall_timeout_seconds,
        }
        return {**command, "reject": self.reject} if self.reject else command


_PRESETS = (
    Agent(  # 2.1.197, edited
        name="claude",
        run="claude --print --verbose --output-format stream-json"
        " --permission-mode acceptEdits < {prompt_file}",
        note="Edits files and runs harmless file commands; every other command is denied, not"
        " waited for. To let it run the tests, add --allowedTools 'Bash(python3 -m pytest *)'."
        " --dangerously-skip-permissions allows everything and is refused to root.",
        install="npm install -g @anthropic-ai/claude-code",
        state=("~/.claude", "~/.claude.json"),
        # An API error can end as subtype "success" with exit code 0.
        reject=r'(?m)^\{"type":"result".*"is_error":true',
    ),
    Agent(  # 0.169.0, edited
        name="codex",
        run="codex exec --json --sandbox workspace-write --skip-git-repo-check - < {prompt_file}",
        note="Runs any command, in its own sandbox: writes only in the project and the temporary"
        " folder, no network. Where that sandbox cannot start (in a container, say), the"
        " container must do its work: --dangerously-bypass-approvals-and-sandbox.",
        install="npm install -g @openai/codex",
        state=("~/.codex",),
    ),
    Agent(  # 0.61.0, edited
        name="gemini",
        run="gemini --skip-trust --output-format stream-json --approval-mode auto_edit"
        " < {prompt_file}",
        note="Edits files but has no shell, so it cannot run the tests: the loop does."
        " --approval-mode yolo gives it a shell, for use inside a container."
        " Without --skip-trust, a folder never opened before is not edited.",
        install="npm install -g @google/gemini-cli",
        state=("~/.gemini",),
    ),
    Agent(  # 0.15.10, edited
        name="qwen",
        run="qwen --output-format stream-json --approval-mode auto-edit < {prompt_file}",
        note="Edits files but has no shell, so it cannot run the tests: the loop does."
        " --approval-mode yolo gives it a shell, for use inside a container.",
        install="npm install -g @qwen-code/qwen-code",
        state=("~/.qwen",),
        # A connection that failed was seen to end as is_error false with exit code 0.
        reject=r'(?m)^\{"type":"result".*("is_error":true|"result":"\[API Error)',
    ),
    Agent(  # 1.18.33, edited
        name="opencode",
        run="opencode run --format json < {prompt_file}",
        note="Edits files and runs any command unless its own configuration forbids it:"
        ' {"permission": {"bash": "deny"}} in opencode.json. Silent while a provider is retried.',
        install="npm install -g opencode-ai",
        state=(
            "~/.local/share/opencode",
            "~/.local/state/opencode",
            "~/.cache/opencode",
            "~/.config/opencode",
        ),
    ),
    Agent(  # 1.0.102, edited
        name="copilot",
        run="copilot --allow-tool=write --no-ask-user --no-auto-update --output-format json"
        " < {prompt_file}",
        note="Edits files; commands are denied, not waited for. To let it run the tests, add"
        " --allow-tool='shell(python3:*)'; --allow-all-tools allows every command.",
        install="npm install -g @github/copilot",
        state=("~/.copilot", "~/.cache/copilot"),
    ),
    Agent(  # 0.0.1790142911, flags accepted
        name="amp",
        run="amp --execute --stream-json < {prompt_file}",
        note="Edits files and runs the usual build and test commands; `amp permissions list` shows"
        " which. Needs AMP_API_KEY or a login: without one it takes the prompt for a login code.",
        install="npm install -g @ampcode/cli",
        state=("~/.config/amp", "~/.cache/amp", "~/.local/share/amp"),
    ),
    Agent(  # 0.215.0, flags accepted
        name="droid",
        run="droid exec --auto medium --output-format stream-json --file {prompt_file}",
        note="Edits files, builds, tests, installs packages, commits locally; no push, no sudo."
        " --auto low edits files only.",
        install="npm install -g droid",
        state=("~/.factory",),
    ),
    Agent(  # 0.36.0, flags accepted
        name="auggie",
        run="auggie --print --instruction-file {prompt_file}",
        note="Indexes the project with its service without asking."
        " --permission TOOL:deny takes a tool away.",
        install="npm install -g @augmentcode/auggie",
        state=("~/.augment",),
        stall_timeout_seconds=TERSE,
    ),
    Agent(  # 0.73.1, edited
        name="pi",
        run="pi --print --mode json < {prompt_file}",
        note="Edits files and runs any command without asking;"
        " --tools read,edit,write takes the shell away.",
        install="npm install -g @mariozechner/pi-coding-agent",
        state=("~/.pi",),
    ),
    Agent(  # 3.0.65, edited
        name="cline",
        run='cline --json "$(cat {prompt_file})"',
        note="Edits files and runs any command without asking. The prompt is an argument: above"
        " 128 KiB the system refuses it. It leaves a daemon running, which the loop ends.",
        install="npm install -g cline",
        state=("~/.cline",),
    ),
    Agent(  # 0.86.2, edited
        name="aider",
        run="aider --yes-always --no-auto-commits --no-dirty-commits --no-gitignore"
        " --no-suggest-shell-commands --no-detect-urls --no-check-update --no-show-release-notes"
        " --input-history-file /dev/null --chat-history-file /dev/null"
        " --message-file {prompt_file}",
        note="Edits files, runs no commands. Needs a git repository (it makes one where there is"
        " none, and stages new files), and a model and key from AIDER_MODEL and the environment."
        " Keeps .aider.tags.cache.* in the project: ignore it.",
        install="pip install aider-chat",
        state=("~/.aider",),
        stall_timeout_seconds=TERSE,
    ),
    Agent(  # 2.4.6, edited
        name="mini",
        run='mini --yolo --exit-immediately --task "$(cat {prompt_file})"',
        note="Works through a shell alone, any command, without asking: best inside a container."
        " Needs its model set up once (mini-extra config setup). The prompt is an argument: above"
        " 128 KiB the system refuses it.",
        install="pip install mini-swe-agent",
        state=("~/.config/mini-swe-agent",),
        stall_timeout_seconds=TERSE,
    ),
)

AGENTS: Mapping[str, Agent] = {agent.name: agent for agent in _PRESETS}


def agent_named(name: str) -> Agent:
    """The preset of that name; raises UsageError with the nearest name and the list."""
    if name in AGENTS:
        return AGENTS[name]
    nearest = _nearest(name)
    raise UsageError(
        f"no agent preset is called {name!r}" + (f"; did you mean {nearest}?" if nearest else ""),
        where="--agent",
        fix=f"one of {', '.join(AGENTS)}; or leave --agent out and write commands.fix yourself",
    )


def _nearest(name: str) -> str:
    """The name meant by a product's full name or a slip of the keyboard, or ""."""
    word = name.strip().lower()
    for known in AGENTS:
        if known in word.replace("_", "-").split("-"):
            return known
    return next(iter(difflib.get_close_matches(word, AGENTS, n=1)), "")
