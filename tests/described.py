"""An OpenAPI document held against the server that it describes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path

import jsonschema
import msgspec
import requests
import schemathesis
import yaml
from aiohttp import web
from hypothesis import HealthCheck, given, seed, settings
from hypothesis.strategies import SearchStrategy, one_of
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.limits import HANG_S

EXAMPLES = 20
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


class Described:
    """The document at `path`."""

    def __init__(self, path: Path) -> None:
        self.document = yaml.safe_load(path.read_text(encoding="utf-8"))
        paths = self.document["paths"]
        self.operations = [(method.upper(), path) for path, methods in paths.items() for method in methods]
        self._schema = schemathesis.openapi.from_dict(self.document)
        self._streams = {path for path, each in paths.items() if "stream" in each.get("get", {}).get("tags", ())}

    def check_routes(self, application: web.Application) -> None:
        """It lists every route of `application` and no other."""
        routes = application.router.routes()
        served = {(each.method, each.resource.canonical) for each in routes if each.resource and each.method != "HEAD"}
        assert served == set(self.operations)

    def check_body(self, kind: type[msgspec.Struct]) -> None:
        """It describes a body as it is decoded."""
        _, components = msgspec.json.schema_components([kind], ref_template="#/components/schemas/{name}")
        decoded = msgspec.json.decode(msgspec.json.encode(components).replace(rb"\\Z", b"$"))  # `$` of ECMA 262
        for name, schema in decoded.items():
            words = {"title", "description"} & schema.keys()
            assert self.document["components"]["schemas"][name.lstrip("_")] == {
                key: value for key, value in schema.items() if key not in words
            }

    def check(self, answer: object, name: str) -> None:
        """`answer` is as the schema `name` says."""
        schema = {"$ref": f"#/components/schemas/{name}", "components": self.document["components"]}
        jsonschema.Draft202012Validator(schema).validate(answer)

    def tried(self, url: str, session: requests.Session, last: str = "") -> dict[str, set[int]]:
        """Try every operation but the endless ones, `last` at the end; the statuses that came, by path."""
        finite = sorted((path == last, path, method) for method, path in self.operations if path not in self._streams)
        return {path: self._statuses(url, session, path, method) for _, path, method in finite}

    def _cases(self, path: str, method: str) -> SearchStrategy[schemathesis.Case]:
        """Requests as the document has them, and others."""
        operation = self._schema[path][method]
        return one_of(*(operation.as_strategy(generation_mode=mode) for mode in GenerationMode))

    def _statuses(self, url: str, session: requests.Session, path: str, method: str) -> set[int]:
        """The statuses of many requests to one operation; each answer is as the document says."""
        seen = set()

        @seed(1)
        @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
        @given(case=self._cases(path, method))
        def holds(case: schemathesis.Case) -> None:
            answer = case.call(base_url=url, session=session, timeout=HANG_S)
            case.validate_response(answer, checks=CHECKS)
            seen.add(answer.status_code)

        holds()
        return seen


@contextmanager
def in_a_thread(opened: Callable[[], AbstractAsyncContextManager[str]]) -> Iterator[str]:
    """A server in a thread of its own, for a client that blocks; `opened` and this give its address."""
    ready: Future[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        over = asyncio.Event()
        async with opened() as url:
            ready.set_result((url, asyncio.get_running_loop(), over))
            await over.wait()

    with ThreadPoolExecutor(1) as thread:
        serving = thread.submit(asyncio.run, serve())
        url, loop, over = ready.result(timeout=HANG_S)
        try:
            yield url
        finally:
            loop.call_soon_threadsafe(over.set)
            serving.result(timeout=HANG_S)
