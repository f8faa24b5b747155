"""Readings, on recorded output of the real programs: usage, refusals, and what is neither."""

import json
import os
import time
import unittest
from typing import Any, ClassVar

from openloop.agents import catalog, preset
from openloop.agents.failures import kind_of, one_line_message
from openloop.agents.transcript import LONGEST_LINE, Transcript
from openloop.core.usage import Figures
from support import HERE, SRC

CORPUS = os.path.join(HERE, "corpus", "agents")
PIECES = (1, 7, 4096, 1 << 20)  # bytes in which a log arrives


def recorded(name: str) -> bytes:
    with open(os.path.join(CORPUS, f"{name}.log"), "rb") as file:
        return file.read()


def transcript_of(agent: str, data: bytes, code: int | None = 0, piece: int = 4096) -> Transcript:
    found = Transcript(catalog.preset_named(agent).reading, agent)
    for start in range(0, len(data), piece):
        found.feed(data[start : start + piece])
    found.end(code)
    return found


def read_by(rules: list[dict[str, Any]], *records: object) -> Transcript:
    """The transcript of JSON records, read by rules of one's own."""
    document = {"run": "x", "reading": {"rules": rules}}
    made = preset.parse(json.dumps(document).encode(), "own", where="own.json")
    found = Transcript(made.reading, "own")
    for record in records:
        found.feed(json.dumps(record).encode() + b"\n")
    found.end(0)
    return found


class Usage(unittest.TestCase):
    """(input, cached, output, cost) of a session that edited a file."""

    EXPECTED: ClassVar = {
        "claude": (5202, 1500, 168, 0.02346),
        "codex": (2468, 1000, 112, None),
        "gemini": (4936, 2000, 224, None),
        "qwen": (3702, 1500, 168, None),
        "opencode": (3702, 1500, 168, None),
        "copilot": (None, None, None, None),
        "pi": (1234, 500, 56, 0.0007899999999999999),
        "cline": (2468, 1000, 112, None),
        "aider": (2500, None, 27, None),
        "mini": (None, None, None, 0.02),
    }

    def test_each_recording_however_it_arrives(self) -> None:
        for agent, figures in self.EXPECTED.items():
            for piece in PIECES:
                with self.subTest(agent, piece=piece):
                    found = transcript_of(agent, recorded(f"{agent}-edit"), piece=piece)
                    self.assertEqual(found.usage.figures, Figures(*figures))
                    self.assertIsNone(found.failure)

    def test_model_session_and_answer(self) -> None:
        expected = {
            "claude": ("claude-opus-4-8", "e23b0825-567d-4801-b6af-0598e87b5f1d"),
            "codex": (None, "01a2262d-86cd-7f80-a60f-73068d99e9e0"),
            "gemini": ("gemini-2.5-pro", "1fdb0eb9-2410-4556-98af-41f5b0f569fa"),
            "copilot": ("gpt-5", "576cd6d9-97cf-4f18-b436-e8669301e165"),
        }
        for agent, named in expected.items():
            with self.subTest(agent):
                usage = transcript_of(agent, recorded(f"{agent}-edit")).usage
                self.assertEqual((usage.model, usage.session), named)
        found = transcript_of("claude", recorded("claude-edit"))
        self.assertEqual(found.answer, "Fixed the bug in calc.py: add now adds. All done.")

    def test_a_killed_session_keeps_what_it_reported(self) -> None:
        lines = recorded("claude-edit").splitlines(keepends=True)
        found = transcript_of("claude", b"".join(lines[:-1]), code=None)
        self.assertEqual(found.usage.figures, Figures(5202, 1500, 3, None))

    def test_a_message_that_is_printed_twice_counts_once(self) -> None:
        lines = recorded("claude-edit").splitlines(keepends=True)
        twice = b"".join(line * 2 for line in lines[:-1])
        found = transcript_of("claude", twice, code=None)
        self.assertEqual(found.usage.figures.input_tokens, 5202)

    def test_message_process_and_session(self) -> None:
        when = {"type": "u"}
        records = [{"type": "u", "id": "a", "n": 5}, {"type": "u", "id": "a", "n": 7}]
        records.append({"type": "u", "id": "b", "n": 9})
        for counts, total in (("message", 16), ("process", 9), ("session", 9)):
            rule = {"when": when, "counts": counts, "id": "id", "output": "n"}
            found = read_by([rule], *records)
            with self.subTest(counts):
                self.assertEqual(found.usage.figures.output_tokens, total)

    def test_a_resumed_session_does_not_bring_its_old_total_along(self) -> None:
        rule = {"when": {"type": "u"}, "counts": "session", "output": "n", "session": "s"}
        document = {"run": "x", "reading": {"rules": [rule]}}
        made = preset.parse(json.dumps(document).encode(), "own", where="own.json")
        found = Transcript(made.reading, "own", before={"a": Figures(output_tokens=100)})
        found.feed(b'{"type":"u","n":130,"s":"a"}\n')
        self.assertEqual(found.usage.figures.output_tokens, 30)

    def test_figures_that_make_no_sense_are_unknown(self) -> None:
        rule = {"when": {"type": "u"}, "counts": "process", "output": "n"}
        for nonsense in (-5, 1e300, True, "many", None, [3], {"x": 1}):
            with self.subTest(nonsense):
                found = read_by([rule], {"type": "u", "n": nonsense})
                self.assertIsNone(found.usage.figures.output_tokens)


class Refusals(unittest.TestCase):
    EXPECTED: ClassVar = {
        "claude-limit": ("limit", "You've hit your limit · resets 10:56am (UTC)"),
        "claude-oauth": ("limit", "You've hit your limit · resets 10:56am (UTC)"),
        "claude-429": ("limit", "rate_limit (try 9 of 10)"),
        "claude-401": ("auth", "authentication_failed (try 9 of 10)"),
        "codex-limit": ("limit", "You\u2019ve hit your usage limit."),
        "codex-429": ("limit", "exceeded retry limit, last status: 429 Too Many Requests"),
        "codex-401": ("auth", "unexpected status 401 Unauthorized: Incorrect API key"),
        "gemini-limit": ("limit", "You have exhausted your daily quota on this model."),
        "gemini-429": ("limit", "You exceeded your current quota"),
        "gemini-401": ("auth", "API key not valid. Please pass a valid API key."),
        "qwen-401": ("auth", "401 Incorrect API key provided: dummy."),
        "opencode-429": ("limit", "Rate limit reached for gpt-5"),
        "opencode-401": ("auth", "Incorrect API key provided: dummy."),
        "copilot-limit": ("limit", "You have reached your limit."),
        "copilot-429": ("limit", "Rate limit reached"),
        "copilot-401": ("auth", "Incorrect API key provided: dummy."),
        "pi-429": ("limit", "429 Rate limit reached for gpt-5"),
        "cline-429": ("limit", "Rate limit reached for gpt-5"),
        "cline-401": ("auth", "Incorrect API key provided: dummy."),
        "aider-limit": ("limit", "The API provider has rate limited you."),
        "aider-429": ("limit", "The API provider has rate limited you."),
        "aider-401": ("auth", "The API provider is not able to authenticate you."),
        "gemini-credit": ("credit", "You exceeded your current quota, please check your plan."),
        "opencode-credit": ("credit", "You exceeded your current quota, please check your plan."),
        "qwen-retry": (
            "limit",
            "post http://127.0.0.1:8800/v1/chat/completions failed with status 429",
        ),
        "qwen-credit": ("credit", "You exceeded your current quota, please check your plan."),
        "copilot-credit": ("credit", "Failed to get response from the AI model; retried 5 times"),
        "aider-credit": ("credit", "OpenAIException - You exceeded your current quota"),
        "mini-limit": ("limit", "OpenAIException - The usage limit has been reached."),
        "mini-429": ("limit", "OpenAIException - Rate limit reached for gpt-5"),
        "mini-401": ("auth", "OpenAIException - Incorrect API key provided: dummy."),
    }

    def test_each_recording(self) -> None:
        for name, (kind, says) in self.EXPECTED.items():
            for piece in (13, 1 << 16):
                with self.subTest(name, piece=piece):
                    agent = name.partition("-")[0]
                    failure = transcript_of(agent, recorded(name), 1, piece).failure
                    assert failure is not None
                    self.assertEqual(failure.kind, kind)
                    self.assertTrue(failure.says.startswith(says), failure.says)

    def test_the_structured_reset_survives_the_sentence(self) -> None:
        failure = transcript_of("claude", recorded("claude-oauth"), 1).failure
        assert failure is not None
        self.assertEqual(failure.reset, "1795949787")

    def test_what_is_silent_tells_nothing(self) -> None:
        for name in ("qwen-limit", "qwen-429", "cline-limit"):
            with self.subTest(name):
                agent = name.partition("-")[0]
                self.assertIsNone(transcript_of(agent, recorded(name), 1).failure)

    def test_no_credit_is_not_a_limit_that_passes(self) -> None:
        """An agent that takes HTTP 429 for a limit, whatever its provider said."""
        rule = {"when": {"type": "e"}, "failure": "said", "says": "says", "status": "status"}
        credit = {"type": "e", "status": 429}
        found = read_by([rule], credit | {"says": "insufficient_quota"}, credit | {"says": "slow"})
        assert found.failure is not None
        self.assertEqual((found.failure.kind, found.failure.says), ("credit", "insufficient_quota"))

    def test_only_records_are_counted_as_tries(self) -> None:
        """Four lines of text may be a project's; four records of a bad key are the agent's."""
        for name, times in (("claude-401", 2), ("gemini-credit", 1)):
            failure = transcript_of(name.partition("-")[0], recorded(name), None).failure
            assert failure is not None
            self.assertEqual((failure.retries, failure.times), (True, times), name)

    def test_an_exit_code_that_reads_like_a_signal(self) -> None:
        for code, kind in ((173, "limit"), (145, "auth"), (247, "overloaded")):
            failure = transcript_of("gemini", b"", code).failure
            assert failure is not None
            self.assertEqual(failure.kind, kind)
        self.assertEqual(catalog.preset_named("gemini").reading.exit_words[144], "HTTP 400")
        self.assertIsNone(transcript_of("gemini", b"", 1).failure)


FORGED = (  # what a project's tests may print
    "429 rate limit exceeded",
    "Credit balance is too low",
    "RateLimitError: litellm.RateLimitError: OpenAIException - The usage limit has been reached.",
    "The API provider has rate limited you. Try again later or check your quotas.",
    "The API provider is not able to authenticate you. Check your API key.",
    "Attempt 4 failed: You exceeded your current quota",
    "Retrying x in 60 seconds as it raised RateLimitError: OpenAIException - quota",
    "Attempt 4 failed with status 429. Retrying with backoff... _ApiError: quota",
    "litellm.RateLimitError: RateLimitError: OpenAIException - quota exceeded",
    "[log_fb417d] post http://127.0.0.1:1/v1 failed with status 401 in 8ms - error",
    "2026-11-29T20:26:31.198Z [ERROR] [OPENAI_ERROR] OpenAI API Error: 429 insufficient quota",
    'timestamp=T level=ERROR message="stream error" small=false x error.error="E: Rate limit"',
    '{"type":"model.call_failure","data":{"statusCode":401,"errorMessage":"no key"}}',
    '{"type":"rate_limit_event","rate_limit_info":{"status":"rejected","resetsAt":1795949787}}',
    '{"type":"result","subtype":"success","is_error":true,"api_error_status":429,"result":"x"}',
    '{"type":"turn.failed","error":{"message":"You have hit your usage limit."}}',
    '{"type":"error","error":{"data":{"statusCode":429,"message":"Rate limit"}},"message":"429"}',
    '{"type":"session.error","data":{"errorType":"rate_limit","message":"limit"}}',
    '{"type":"message_end","message":{"stopReason":"error","errorMessage":"429"}}',
    '{"type":"run_result","finishReason":"error","text":"429 Too Many Requests"}',
)


class NeverFooledByText(unittest.TestCase):
    """What an agent's tools print, in the form in which it hands it on, is no refusal."""

    TOOL_OUTPUT: ClassVar = {
        "claude": {"type": "user", "message": {"content": [{"type": "tool_result", "content": 0}]}},
        "codex": {
            "type": "item.completed",
            "item": {"type": "command_execution", "aggregated_output": 0, "exit_code": 1},
        },
        "gemini": {"type": "tool_result", "status": "error", "output": 0},
        "qwen": {"type": "user", "message": {"content": [{"type": "tool_result", "content": 0}]}},
        "opencode": {"type": "tool_use", "part": {"tool": "bash", "state": {"output": 0}}},
        "copilot": {"type": "tool.execution_complete", "data": {"result": {"content": 0}}},
        "pi": {"type": "tool_execution_end", "result": {"content": [{"type": "text", "text": 0}]}},
        "cline": {"type": "agent_event", "event": {"type": "tool_result", "output": 0}},
        "amp": {"type": "user", "message": {"content": [{"type": "tool_result", "content": 0}]}},
        "droid": {"type": "tool_result", "value": 0},
    }

    def test_in_tool_output_whatever_the_exit_code(self) -> None:
        text = "\n".join(FORGED)
        for agent, record in self.TOOL_OUTPUT.items():
            line = json.dumps(record).replace(": 0", f": {json.dumps(text)}").encode() + b"\n"
            for code in (0, 1):
                with self.subTest(agent, code=code):
                    self.assertIsNone(transcript_of(agent, line * 3, code).failure)

    def test_raw_between_an_agent_s_own_lines_when_it_worked(self) -> None:
        """A process that inherited the log wrote them, and the agent went on."""
        for agent in Usage.EXPECTED:
            *lines, last = recorded(f"{agent}-edit").splitlines(keepends=True)
            forged = "".join(f"{line}\n" for line in FORGED).encode()
            if agent == "aider":  # it says what it used behind the answer
                lines, last = lines[:-1], lines[-1] + last
            if agent == "mini":  # what its last command printed stands before its farewell
                end = lines.index(b"Exit:\n")
                lines, last = lines[:end], b"".join(lines[end:]) + last
            with self.subTest(agent):
                found = transcript_of(agent, b"".join(lines) + forged + last)
                self.assertIsNone(found.failure)

    def test_in_plain_text_far_from_the_end(self) -> None:
        for agent in ("aider", "mini", "gemini", "auggie"):
            with self.subTest(agent):
                data = "\n".join(line for line in FORGED if line[0] != "{").encode()
                found = transcript_of(agent, data + b"\n" + b"and so on\n" * 1000, 1)
                self.assertIsNone(found.failure)


class TheExampleOfTheManual(unittest.TestCase):
    """The preset in agents.md, and what an agent of its kind prints."""

    def setUp(self) -> None:
        with open(os.path.join(SRC, "openloop/manual/agents.md"), encoding="utf-8") as file:
            page = file.read()
        example = page.partition("## A preset of your own")[2].partition("```text\n")[2]
        data = example.partition("```")[0].encode()
        self.preset = preset.parse(data, "mine", where="agents.md")

    def read(self, *lines: object, code: int = 0) -> Transcript:
        found = Transcript(self.preset.reading, "mine")
        for line in lines:
            found.feed((line if isinstance(line, str) else json.dumps(line)).encode() + b"\n")
        found.end(code)
        return found

    def test_usage(self) -> None:
        tokens = {"fresh": 100, "cached": 50, "output": 7}
        answer = {"type": "answer", "id": 1, "text": "done", "tokens": tokens, "usd": 0.01}
        found = self.read({"type": "begin", "id": "s", "model": "m"}, answer, answer)
        self.assertEqual(found.usage.figures, Figures(150, 50, 7, 0.01))
        self.assertEqual((found.usage.session, found.usage.model), ("s", "m"))
        self.assertEqual(found.answer, "done")

    def test_refusals(self) -> None:
        for lines, code, kind in (
            (({"type": "error", "http": 429, "why": "slow down"},), 1, "limit"),
            (({"type": "retry", "why": "Overloaded", "n": 2},), 1, "overloaded"),
            (("fatal: invalid API key",), 1, "auth"),
            ((), 77, "auth"),
            (({"type": "error", "why": "no such file"},), 1, "error"),
        ):
            failure = self.read(*lines, code=code).failure
            with self.subTest(lines):
                self.assertEqual(failure and failure.kind, kind)


class WhateverTheLogHolds(unittest.TestCase):
    def test_a_line_of_50_mb_is_neither_held_nor_parsed(self) -> None:
        head, tail = recorded("claude-edit"), recorded("claude-limit")
        found = Transcript(catalog.preset_named("claude").reading, "claude")
        found.feed(head + b'{"type":"assistant","message":{"content":"')
        for _ in range(50):
            found.feed(b"x" * (1 << 20))
            self.assertLessEqual(len(found._rest), LONGEST_LINE)
        found.feed(b'"}}\n' + tail)
        found.end(1)
        assert found.failure is not None
        self.assertEqual(found.failure.kind, "limit")
        self.assertEqual(found.usage.figures.input_tokens, 0)

    def test_half_a_character_and_half_a_line(self) -> None:
        data = recorded("codex-limit")
        cut = data.index("\u2019".encode()) + 1
        found = Transcript(catalog.preset_named("codex").reading, "codex")
        found.feed(data[:cut])
        self.assertIsNone(found.failure)
        found.feed(data[cut:])
        found.end(1)
        assert found.failure is not None
        self.assertIn("You\u2019ve hit", found.failure.says)

    def test_garbage(self) -> None:
        nested = b'{"type":"result","x":' + b"[" * 100_000 + b"\n"
        garbage = [
            b"\xff\xfe\x00{]\n" * 100,
            b'{"type":"result"\n"result"\n[1,"result"]\n',
            nested,
            b'{"type":"result","is_error":true,"result":{"a":[]},"usage":[1,2]}\n',
            b'{"type":"assistant","message":"result"}\n{"type":"assistant","message":{"usage":7}}\n',
        ]
        for agent in catalog.shipped():
            for data in garbage:
                with self.subTest(agent, data=data[:30]):
                    transcript_of(agent, data, 1)

    def test_skipped_bytes_make_the_figures_a_lower_bound(self) -> None:
        lines = recorded("opencode-edit").splitlines(keepends=True)
        found = Transcript(catalog.preset_named("opencode").reading, "opencode")
        found.feed(b"".join(lines[:3]))
        found.skip(1 << 30)
        found.feed(b'half a line"}\n' + b"".join(lines[-1:]))
        found.end(0)
        self.assertEqual(found.usage.figures.input_tokens, 2 * 1234)
        self.assertFalse(found.usage.complete)
        self.assertIs(found.usage.to_json()["complete"], False)

    def test_reading_costs_less_than_writing(self) -> None:
        """A coarse bound with much room: most of a log is skipped without being parsed."""
        record = {"type": "user", "message": {"content": ["def f(x): return x\n" * 200]}}
        started = time.process_time()
        data = b"".join(json.dumps(record).encode() + b"\n" for _ in range(4000))
        writing = time.process_time() - started
        started = time.process_time()
        transcript_of("claude", data, piece=1 << 20)
        self.assertLess(time.process_time() - started, writing)


class Words(unittest.TestCase):
    def test_kinds(self) -> None:
        expected = {
            ("400", "Your credit balance is too low to access the API."): "credit",
            ("429", "You exceeded your current quota, please check your plan."): "credit",
            ("429", "You exceeded your current quota. Please retry in 2s."): "limit",
            ("", "Quota exceeded. Check your plan and billing details."): "credit",
            ("", "Your prepayment credits are depleted."): "credit",
            ("529", "Overloaded"): "overloaded",
            ("", "The model is overloaded. Please try again later."): "overloaded",
            ("", "connect ECONNREFUSED 127.0.0.1:1"): "overloaded",
            ("403", "x"): "auth",
            ("", "Not logged in · Please run /login"): "auth",
            ("400", "prompt is too long"): "error",
            ("", "error_max_turns"): "error",
        }
        for (status, says), kind in expected.items():
            with self.subTest(says):
                self.assertEqual(kind_of(status, says), kind)

    def test_a_sentence_is_one_printable_line(self) -> None:
        self.assertEqual(one_line_message('{"error":{"message":"No\\n such key"}}'), "No such key")
        self.assertEqual(one_line_message("[API Error: gone]\nPlease wait"), "gone")
        self.assertNotIn("\x1b", one_line_message("\x1b[31mred"))
        self.assertLessEqual(len(one_line_message("x" * 5000)), 300)
        self.assertEqual(one_line_message("{broken"), "{broken")


if __name__ == "__main__":
    unittest.main()
