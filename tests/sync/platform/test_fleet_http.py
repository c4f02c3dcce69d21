"""The HTTP interface of the fleet page: it matches its document, and every response has the security headers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import jsonschema
import pytest
import yaml

from sync.contract.records import RecordId, encode_record
from sync.platform.fleet import page
from sync.platform.fleet.page import HEADERS, FleetPage
from sync.platform.records.open_store import open_store
from sync.platform.records.received import ReceivedRecord
from tests.sync.city import mixed
from tests.sync.platform.test_fleet_page import EPOCH, district

DOCUMENT = yaml.safe_load(Path(page.__file__).with_name("openapi.yaml").read_text(encoding="utf-8"))


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[FleetPage]:
    now = datetime.now(UTC)
    async with open_store(str(tmp_path / "records.db")) as store:
        for seq, record in enumerate(mixed(20), start=1):
            name = RecordId("box-0001", EPOCH, seq)
            await store.insert([ReceivedRecord.read(name, record.TYPE, now, now, encode_record(record))])
        yield FleetPage(store, district(now))


async def test_the_document_lists_every_route_and_no_other(served: FleetPage) -> None:
    routes = served.application().router.routes()
    found = {(route.method, route.resource.canonical) for route in routes if route.resource and route.method != "HEAD"}
    assert found == {(method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods}


async def test_the_answers_are_as_described_and_carry_the_guards(served: FleetPage) -> None:
    schema = {"$ref": "#/components/schemas/Stats", "components": DOCUMENT["components"]}
    async with served.served("127.0.0.1", 0) as port, aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
        async with client.get("/api/stats") as answer:
            jsonschema.Draft202012Validator(schema).validate(await answer.json())
        for method, path, status in (("GET", "/", 200), ("GET", "/x", 404), ("POST", "/", 405)):
            async with client.request(method, path) as answer:
                assert answer.status == status
                assert {name: answer.headers[name] for name in HEADERS} == HEADERS
