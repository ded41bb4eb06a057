"""The examples of docs/clients.md, cut out of the page and run as they stand."""

from __future__ import annotations

import json
import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PAGE = Path(__file__).parents[2] / "docs" / "clients.md"
SERVICE = "http://127.0.0.1:8000"
"""Where the page's examples find the service."""
_EXAMPLE = re.compile(r"^### (\S+)\n.*?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_BOUND_S = 300.0

Answer = dict[str, Any]


class Write(NamedTuple):
    """One warrior to create."""

    warrior: dict[str, Any]
    key: str


class Example(NamedTuple):
    """One example: its client, its language, and the text between the fences."""

    client: str
    language: str
    text: str


def examples() -> dict[str, Example]:
    """Return every example of the page by its client."""
    section = PAGE.read_text().partition("\n## Examples\n")[2].partition("\n## ")[0]
    assert section.count("```") == 2 * len(_EXAMPLE.findall(section)), "one fence per heading"
    return {found[0]: Example(*found) for found in _EXAMPLE.findall(section)}


def key_example() -> str:
    """Return the command that shows what a key does."""
    section = PAGE.read_text().partition("\n## `Idempotency-Key`\n")[2].partition("\n## ")[0]
    return section.partition("```sh\n")[2].partition("```")[0]


def run(example: Example, url: str, writes: Sequence[Write], node: Callable[[], Path]) -> list[Any]:
    """Let an example send all writes at once; return ``(status, body)`` of each, in order."""
    text = example.text.replace(SERVICE, url)
    assert text != example.text
    if example.language == "python":
        return _python(example.client, text, writes)
    if example.language == "sh":
        return _shell(text, writes)
    return _node(example.client, text, writes, node())


def _python(client: str, text: str, writes: Sequence[Write]) -> list[Any]:
    names: dict[str, Any] = {}
    exec(compile(text, f"docs/clients.md:{client}", "exec"), names)  # noqa: S102 -- our own page

    def create(write: Write) -> tuple[int, Any]:
        answer = names["create"](*write)
        status = answer.status if hasattr(answer, "status") else answer.status_code
        return status, answer.json()

    try:
        with ThreadPoolExecutor(len(writes)) as pool:
            return list(pool.map(create, writes))
    finally:
        for name in {"session", "client"} & names.keys():
            names[name].close()
        if "http" in names:
            names["http"].clear()


def _shell(text: str, writes: Sequence[Write]) -> list[Any]:
    def create(write: Write) -> tuple[int, Any]:
        folder = Path(mkdtemp(prefix="example-"))
        environ = {
            "PATH": os.environ["PATH"], "key": write.key, "warrior": json.dumps(write.warrior)
        }  # fmt: skip
        done = subprocess.run(
            ["sh", "-c", text], cwd=folder, env=environ, capture_output=True, text=True,
            timeout=_BOUND_S, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return int(done.stdout), json.loads((folder / "answer.json").read_text())

    with ThreadPoolExecutor(len(writes)) as pool:
        return list(pool.map(create, writes))


def _node(client: str, text: str, writes: Sequence[Write], folder: Path) -> list[Any]:
    example = Path(mkdtemp(prefix="example-", dir=folder)) / f"{client}.mjs"
    example.write_text(text)
    done = subprocess.run(
        ["node", "run.mjs", str(example)], cwd=folder, input=json.dumps(writes),
        capture_output=True, text=True, timeout=_BOUND_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert not [answer for answer in answers if "error" in answer], answers
    return [(answer["status"], answer["body"]) for answer in answers]
