"""Why a broker's certificate is not accepted: what it lacks is named."""

from __future__ import annotations

import asyncio
import socket
import ssl
from dataclasses import replace
from pathlib import Path

import pytest

from sync.edge.identity.certificate_check import check_certificate_accepted
from sync.errors import BrokerUntrusted
from sync.mqtt.broker_address import BrokerAddress, TlsFiles
from sync.mqtt.connection import Connection
from sync.mqtt.packets import Options
from sync.mqtt.peer_certificate import explain
from sync.mqtt.tls_probe import Handshake, try_handshake
from tests.limits import HANG_S
from tests.ports import free_port
from tests.sync.certificates import Authority
from tests.sync.city import mosquitto
from tests.sync.mqtt.test_connection import demanding


async def refusal(tmp_path: Path, root: Authority, server: TlsFiles, mine: TlsFiles, handshake: Handshake) -> str:
    """What a link, the check of a certificate and the doctor's handshake say; they agree."""
    with mosquitto(tmp_path / "broker", extra=demanding(root, server)) as broker:
        address = BrokerAddress.from_url(f"mqtts://localhost:{broker.port}", mine)
        with pytest.raises(BrokerUntrusted) as refused:
            async with Connection.open(Options(address, "box-1")):
                pass
        with pytest.raises(BrokerUntrusted) as checked:
            await check_certificate_accepted(address)
        found, detail = await asyncio.to_thread(try_handshake, address, HANG_S)
    assert found is handshake
    assert str(refused.value) == str(checked.value) == f"{address}: {detail}"
    return detail


async def test_a_missing_intermediate_is_named(tmp_path: Path) -> None:
    root = Authority(tmp_path / "root")
    middle = root.intermediate(tmp_path / "middle")
    server, mine = middle.certificate("localhost"), root.certificate("box-1")
    said = await refusal(tmp_path, root, server, mine, Handshake.WRONG_CA)
    assert "issued by 'CN=middle authority'" in said and "签发者是“CN=middle authority”" in said
    assert "append its certificate" in said
    assert server.certificate is not None
    server.certificate.write_bytes(server.certificate.read_bytes() + middle.ca.read_bytes())
    with mosquitto(tmp_path / "whole", extra=demanding(root, server)) as broker:
        address = BrokerAddress.from_url(f"mqtts://localhost:{broker.port}", mine)
        async with Connection.open(Options(address, "box-1")):
            pass


async def test_an_unknown_authority_is_named(tmp_path: Path) -> None:
    root, other = Authority(tmp_path / "root"), Authority(tmp_path / "other")
    mine = root.certificate("box-1")
    said = await refusal(tmp_path, root, other.certificate("localhost"), mine, Handshake.WRONG_CA)
    assert "'CN=other authority'" in said and "otherwise check the CA file" in said


async def test_an_authority_of_the_same_name_is_not_missing(tmp_path: Path) -> None:
    root, other = Authority(tmp_path / "root"), Authority(tmp_path / "elsewhere" / "root")
    mine = root.certificate("box-1")
    said = await refusal(tmp_path, root, other.certificate("localhost"), mine, Handshake.WRONG_CA)
    assert "not signed by a trusted authority" in said and "append" not in said


async def test_a_certificate_without_names_is_refused_with_a_sentence(tmp_path: Path) -> None:
    """Its common name is the host name, which alone is not enough."""
    root = Authority(tmp_path / "root")
    mine = root.certificate("box-1")
    said = await refusal(tmp_path, root, root.certificate("localhost", dns=()), mine, Handshake.WRONG_NAME)
    assert "no subjectAltName" in said and "没有 subjectAltName" in said
    assert "a common name is not enough" in said


async def test_a_certificate_for_another_host_says_for_which(tmp_path: Path) -> None:
    root = Authority(tmp_path / "root")
    mine = root.certificate("box-1")
    server = root.certificate("localhost", dns=("city.example", "www.city.example"))
    said = await refusal(tmp_path, root, server, mine, Handshake.WRONG_NAME)
    assert "is for city.example, www.city.example" in said


async def test_a_peer_that_cannot_be_looked_at_again_is_described(tmp_path: Path) -> None:
    root, other = Authority(tmp_path / "root"), Authority(tmp_path / "other")
    address = BrokerAddress.from_url("mqtts://localhost:1", TlsFiles(root.ca))
    assert address.tls is not None
    with mosquitto(tmp_path / "broker", extra=demanding(root, other.certificate("localhost"))) as broker:
        with socket.create_connection(("localhost", broker.port)) as plain, pytest.raises(ssl.SSLError) as refused:
            address.tls.wrap_socket(plain, server_hostname="localhost")
        assert "CN=other authority" in explain(refused.value, replace(address, port=broker.port))
    assert "check the CA file" in explain(refused.value, replace(address, port=free_port()))
    assert "check the CA file" in explain(refused.value, replace(address, tls=None))
