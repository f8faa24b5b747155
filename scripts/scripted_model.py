"""A model by a script, on loopback, in the dialects that coding agents speak.

`Model` serves Anthropic's messages, OpenAI's chat completions and responses, and Gemini's content.
In mode `edit` it reads calc.py where it has a tool for that, edits it, and says so; every other
mode refuses. It counts what it served.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PLAIN, CACHED, OUTPUT = 734, 500, 56  # tokens of one request
WRONG, RIGHT = "return a - b", "return a + b"
DONE = "add now adds."
SEARCH = f"<<<<<<< SEARCH\n    {WRONG}\n=======\n    {RIGHT}\n>>>>>>> REPLACE"
BLOCK = f"calc.py\n```python\n{SEARCH}\n```\n"  # the answer to an agent without tools
MODES = ("edit", "401", "429", "limit", "overloaded", "credit")
# (status, kind, message) of a refusal, for Anthropic and for the others
REFUSALS: Mapping[str, tuple[tuple[int, str, str], tuple[int, str, str]]] = {
    "401": (
        (401, "authentication_error", "invalid x-api-key"),
        (401, "invalid_api_key", "Incorrect API key provided."),
    ),
    "429": (
        (429, "rate_limit_error", "Number of requests has exceeded your rate limit."),
        (429, "rate_limit_exceeded", "Rate limit reached. Please try again in 2s."),
    ),
    "limit": (
        (429, "rate_limit_error", "This request would exceed your account's rate limit."),
        (429, "usage_limit_reached", "The usage limit has been reached"),
    ),
    "overloaded": (
        (529, "overloaded_error", "Overloaded"),
        (503, "server_is_overloaded", "The server is overloaded."),
    ),
    "credit": (
        (400, "invalid_request_error", "Your credit balance is too low to access the API."),
        (429, "insufficient_quota", "You exceeded your current quota, please check your plan."),
    ),
}


class Model:
    """One server in one mode. root: the project's folder. reset: seconds for which the mode
    `limit` refuses; then it edits."""

    def __init__(self, mode: str, root: str, reset: float = 5.0) -> None:
        self.mode = mode
        self.root = root
        self.reset_at: float | None = None
        self._reset = reset
        self.requests = 0  # that were served
        self.latest = ""  # the body of the latest request
        self.asides = 0  # those of them without tools: a title for the session, say
        self.tools: dict[str, Any] = {}  # that the agent offered
        self._lock = threading.Lock()
        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.model = self  # type: ignore[attr-defined]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def refuses(self) -> str:
        """The mode of the refusal that is due, "" when the request is served."""
        with self._lock:
            if self.mode == "limit":
                self.reset_at = self.reset_at or time.time() + self._reset
                if time.time() >= self.reset_at:
                    return ""
            return "" if self.mode == "edit" else self.mode

    def serve(self, *, aside: bool) -> None:
        with self._lock:
            self.requests += 1
            self.asides += aside

    def served(self, *, asides: bool = True) -> tuple[int, int, int]:
        """(input tokens, those of them from a cache, output tokens)."""
        count = self.requests - (0 if asides else self.asides)
        return count * (PLAIN + CACHED), count * CACHED, count * OUTPUT


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """An agent that gives up, or is ended, closes its connection: that is no error here."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def model(self) -> Model:
        return self.server.model  # type: ignore[attr-defined,no-any-return]

    def log_message(self, *words: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._json(200, {"data": [{"id": "gpt-5", "object": "model"}], "object": "list"})

    def do_POST(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(size)
        try:
            body = json.loads(raw)
        except ValueError:
            body = {}
        self.model.latest = raw.decode(errors="replace")
        path = self.path.partition("?")[0]
        if path.endswith("/count_tokens"):
            return self._json(200, {"input_tokens": 100})
        if path.endswith(":countTokens"):
            return self._json(200, {"totalTokens": 100})
        for ending, dialect in DIALECTS.items():
            if path.endswith(ending):
                return self._answer(dialect, body)
        return self._json(404, {"error": {"message": "nothing is here"}})

    def _answer(self, dialect: Any, body: dict[str, Any]) -> None:
        if mode := self.model.refuses():
            return self._refuse(dialect, mode)
        tools, results = dialect.tools(body), dialect.results(body)
        self.model.serve(aside=not tools)
        self.model.tools |= tools
        by_text = not tools and "SEARCH/REPLACE" in str(body)
        call = BLOCK if by_text else plan(tools, results, self.model.root)
        if body.get("stream") or "stream" in self.path:
            return self._stream(dialect.stream(body, call, results))
        return self._json(200, dialect.whole(body, call, results))

    def _refuse(self, dialect: Any, mode: str) -> None:
        status, kind, message = REFUSALS[mode][dialect is not Anthropic]
        headers = {"retry-after": "2"} if mode == "429" else {}
        error: dict[str, Any] = {"type": kind, "code": kind, "message": message}
        if mode == "limit" and self.model.reset_at:
            reset = str(int(self.model.reset_at) + 1)
            headers["x-should-retry"] = "false"
            error |= {"resets_at": int(reset), "plan_type": "plus"}
            for name in ("reset", "5h-reset"):
                headers[f"anthropic-ratelimit-unified-{name}"] = reset
            for name in ("status", "5h-status", "overage-status"):
                headers[f"anthropic-ratelimit-unified-{name}"] = "rejected"
            headers["anthropic-ratelimit-unified-5h-utilization"] = "1.0"
            headers["anthropic-ratelimit-unified-representative-claim"] = "five_hour"
        if dialect is Gemini:
            states = {401: "UNAUTHENTICATED", 429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE"}
            error = {"code": status, "message": message, "status": states[status]}
        self._json(status, {"type": "error", "error": error}, headers)

    def _json(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, events: Iterable[tuple[str, Any]]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for name, event in events:
            head = f"event: {name}\n" if name else ""
            text = event if isinstance(event, str) else json.dumps(event)
            self.wfile.write(f"{head}data: {text}\n\n".encode())
        self.close_connection = True


# --- what the model does -----------------------------------------------------------------


def plan(tools: Mapping[str, Any], results: int, root: str) -> tuple[str, dict[str, Any]] | None:
    """The tool to call and its arguments; None to say that all is done."""
    known = {name.lower(): name for name in tools}
    reads = [known[name] for name in ("read", "read_file", "view") if name in known]
    edits = [known[name] for name in ("edit", "editor", "replace") if name in known]
    shells = [known[n] for n in ("exec_command", "shell", "shell_command", "bash") if n in known]
    order = [*reads[:1], *edits[:1]] if edits else shells[:1]
    if results >= len(order):
        return None
    name = order[results]
    return name, {
        key: value
        for key, rule in _properties(tools[name]).items()
        if (value := _argument(key, rule, root)) is not None
    }


def _properties(schema: Any) -> dict[str, Any]:
    found = schema.get("properties", {}) if isinstance(schema, dict) else {}
    return found if isinstance(found, dict) else {}


def _argument(key: str, rule: Any, root: str) -> Any:
    word = key.lower().replace("_", "")
    sed = f"sed -i 's/{WRONG}/{RIGHT}/' {root}/calc.py"
    if word == "command" and "str_replace" in str(rule):
        return "str_replace"
    if word in ("command", "cmd"):
        return ["sh", "-c", sed] if isinstance(rule, dict) and rule.get("type") == "array" else sed
    known = {
        **dict.fromkeys(("filepath", "path", "absolutepath"), f"{root}/calc.py"),
        **dict.fromkeys(("oldstring", "oldstr", "oldtext"), WRONG),
        **dict.fromkeys(("newstring", "newstr", "newtext"), RIGHT),
        "instruction": "repair add",
    }
    if word == "edits":
        return [{"oldText": WRONG, "newText": RIGHT}]
    return known.get(word)


# --- the dialects ------------------------------------------------------------------------


class Anthropic:
    @staticmethod
    def tools(body: dict[str, Any]) -> dict[str, Any]:
        return {
            t["name"]: t.get("input_schema", {}) for t in body.get("tools") or () if "name" in t
        }

    @staticmethod
    def results(body: dict[str, Any]) -> int:
        contents = (m.get("content") for m in body.get("messages") or ())
        parts = (part for one in contents if isinstance(one, list) for part in one)
        return sum(part.get("type") == "tool_result" for part in parts)

    @classmethod
    def whole(cls, body: dict[str, Any], call: Any, number: int) -> Any:
        text = {"type": "text", "text": DONE}
        use = call and {
            "type": "tool_use",
            "id": f"toolu_{number}",
            "name": call[0],
            "input": call[1],
        }
        usage = {
            "input_tokens": PLAIN,
            "cache_read_input_tokens": CACHED,
            "cache_creation_input_tokens": 0,
            "output_tokens": OUTPUT,
        }
        return {
            "id": f"msg_{number}_{time.time_ns()}",
            "type": "message",
            "role": "assistant",
            "model": body.get("model", "m"),
            "content": [use or text],
            "stop_sequence": None,
            "stop_reason": "tool_use" if call else "end_turn",
            "usage": usage,
        }

    @classmethod
    def stream(cls, body: dict[str, Any], call: Any, number: int) -> Iterable[tuple[str, Any]]:
        message = cls.whole(body, call, number)
        block, stop = message["content"][0], message["stop_reason"]
        start = {**message, "content": [], "stop_reason": None}
        empty = {**block, "input": {}} if call else {**block, "text": ""}
        delta = (
            {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
            if call
            else {"type": "text_delta", "text": DONE}
        )
        ending = {"stop_reason": stop, "stop_sequence": None}
        for name, data in (
            ("message_start", {"message": start}),
            ("content_block_start", {"index": 0, "content_block": empty}),
            ("content_block_delta", {"index": 0, "delta": delta}),
            ("content_block_stop", {"index": 0}),
            ("message_delta", {"delta": ending, "usage": {"output_tokens": OUTPUT}}),
            ("message_stop", {}),
        ):
            yield name, {"type": name, **data}


class Chat:
    USAGE: Mapping[str, Any] = {
        "prompt_tokens": PLAIN + CACHED,
        "completion_tokens": OUTPUT,
        "total_tokens": PLAIN + CACHED + OUTPUT,
        "prompt_tokens_details": {"cached_tokens": CACHED},
    }

    @staticmethod
    def tools(body: dict[str, Any]) -> dict[str, Any]:
        found = [tool["function"] for tool in body.get("tools") or () if "function" in tool]
        return {one["name"]: one.get("parameters", {}) for one in found}

    @staticmethod
    def results(body: dict[str, Any]) -> int:
        return sum(one.get("role") == "tool" for one in body.get("messages") or ())

    @classmethod
    def _message(cls, call: Any, number: int) -> dict[str, Any]:
        if not isinstance(call, tuple):
            return {"role": "assistant", "content": call or DONE}
        function = {"name": call[0], "arguments": json.dumps(call[1])}
        use = {"index": 0, "id": f"call_{number}", "type": "function", "function": function}
        return {"role": "assistant", "content": None, "tool_calls": [use]}

    @classmethod
    def whole(cls, body: dict[str, Any], call: Any, number: int) -> Any:
        end = "tool_calls" if isinstance(call, tuple) else "stop"
        choice = {"index": 0, "message": cls._message(call, number), "finish_reason": end}
        return {**cls._base(body, number, ""), "choices": [choice], "usage": cls.USAGE}

    @staticmethod
    def _base(body: dict[str, Any], number: int, ending: str) -> dict[str, Any]:
        name = f"chat-{number}-{time.time_ns()}"
        kind = f"chat.completion{ending}"
        return {"id": name, "object": kind, "created": 0, "model": body.get("model", "m")}

    @classmethod
    def stream(cls, body: dict[str, Any], call: Any, number: int) -> Iterable[tuple[str, Any]]:
        base = cls._base(body, number, ".chunk")
        end = "tool_calls" if isinstance(call, tuple) else "stop"
        for delta, reason in ((cls._message(call, number), None), ({}, end)):
            choice = {"index": 0, "delta": delta, "finish_reason": reason}
            yield "", {**base, "choices": [choice]}
        yield "", {**base, "choices": [], "usage": cls.USAGE}
        yield "", "[DONE]"


class Responses:
    @staticmethod
    def tools(body: dict[str, Any]) -> dict[str, Any]:
        """Those of a namespace as NAMESPACE/NAME."""
        found = {}
        for tool in body.get("tools") or ():
            inner = tool["tools"] if tool.get("type") == "namespace" else [tool]
            above = f"{tool['name']}/" if tool.get("type") == "namespace" else ""
            functions = [one for one in inner if one.get("type") == "function"]
            found |= {above + one["name"]: one.get("parameters", {}) for one in functions}
        return found

    @staticmethod
    def results(body: dict[str, Any]) -> int:
        items = body.get("input")
        found = items if isinstance(items, list) else []
        return sum(str(one.get("type", "")).endswith("call_output") for one in found)

    @classmethod
    def whole(cls, body: dict[str, Any], call: Any, number: int) -> Any:
        if call:
            namespace, _, name = call[0].rpartition("/")
            arguments = {"name": name, "arguments": json.dumps(call[1])}
            arguments |= {"namespace": namespace} if namespace else {}
            item = {"type": "function_call", "id": f"fc_{number}", "call_id": f"call_{number}"}
            item |= {**arguments, "status": "completed"}
        else:
            text = {"type": "output_text", "text": DONE, "annotations": []}
            item = {"type": "message", "id": f"msg_{number}", "role": "assistant"}
            item |= {"status": "completed", "content": [text]}
        usage = {
            "input_tokens": PLAIN + CACHED,
            "output_tokens": OUTPUT,
            "total_tokens": PLAIN + CACHED + OUTPUT,
            "input_tokens_details": {"cached_tokens": CACHED},
            "output_tokens_details": {"reasoning_tokens": 0},
        }
        return {
            "id": f"resp_{number}",
            "object": "response",
            "created_at": 0,
            "status": "completed",
            "model": body.get("model", "m"),
            "output": [item],
            "usage": usage,
            "error": None,
            "incomplete_details": None,
            "tools": [],
        }

    @classmethod
    def stream(cls, body: dict[str, Any], call: Any, number: int) -> Iterable[tuple[str, Any]]:
        whole = cls.whole(body, call, number)
        begun = {**whole, "status": "in_progress", "output": [], "usage": None}
        item = {"output_index": 0, "item": whole["output"][0]}
        for order, (name, data) in enumerate(
            (
                ("response.created", {"response": begun}),
                ("response.output_item.added", item),
                ("response.output_item.done", item),
                ("response.completed", {"response": whole}),
            )
        ):
            yield name, {"type": name, "sequence_number": order, **data}


class Gemini:
    @staticmethod
    def tools(body: dict[str, Any]) -> dict[str, Any]:
        groups = [tool.get("functionDeclarations") or () for tool in body.get("tools") or ()]
        return {
            one["name"]: one.get("parametersJsonSchema") or one.get("parameters") or {}
            for group in groups
            for one in group
        }

    @staticmethod
    def results(body: dict[str, Any]) -> int:
        parts = (part for one in body.get("contents") or () for part in one.get("parts") or ())
        return sum("functionResponse" in part for part in parts)

    @classmethod
    def whole(cls, body: dict[str, Any], call: Any, number: int) -> Any:
        part = {"functionCall": {"name": call[0], "args": call[1]}} if call else {"text": DONE}
        if (body.get("generationConfig") or {}).get("responseJsonSchema"):
            chosen = {"reasoning": "short", "model_choice": "flash", "complexity_score": 1}
            part = {"text": json.dumps({**chosen, "complexity_reasoning": "short"})}
        content = {"role": "model", "parts": [part]}
        usage = {"promptTokenCount": PLAIN + CACHED, "cachedContentTokenCount": CACHED}
        usage |= {"candidatesTokenCount": OUTPUT, "totalTokenCount": PLAIN + CACHED + OUTPUT}
        candidate = {"content": content, "finishReason": "STOP", "index": 0}
        return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini"}

    @classmethod
    def stream(cls, body: dict[str, Any], call: Any, number: int) -> Iterable[tuple[str, Any]]:
        yield "", cls.whole(body, call, number)


DIALECTS: Mapping[str, Any] = {
    "/messages": Anthropic,
    "/chat/completions": Chat,
    "/responses": Responses,
    ":generateContent": Gemini,
    ":streamGenerateContent": Gemini,
}
