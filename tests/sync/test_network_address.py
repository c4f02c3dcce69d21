"""Addresses: parsed once, refused with a sentence, shown as they are written."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.network_address import BadAddress, HostPort, ServerAddress

BROKERS = {"mqtt": 1883, "mqtts": 8883}
HOSTS = st.one_of(
    st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map(str), st.sampled_from(["localhost", "a-1.example", "b_2"])
)


@given(host=HOSTS, port=st.integers(1, 65535), scheme=st.sampled_from(sorted(BROKERS)))
def test_an_address_is_shown_as_it_is_written(host: str, port: int, scheme: str) -> None:
    address = ServerAddress(scheme, HostPort(host, port))
    assert ServerAddress.parse(str(address), BROKERS) == address
    assert HostPort.parse(str(address.at)) == address.at


@given(text=st.text())
def test_any_other_text_is_refused(text: str) -> None:
    for parse in (HostPort.parse, lambda each: ServerAddress.parse(f"mqtts://{each}", BROKERS).at):
        try:
            found = parse(text)
        except BadAddress:
            continue
        assert HostPort.parse(str(found)) == found


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("MQTTS://Platform.Example", "platform.example", 8883),
        ("mqtts://[2001:DB8::1]:1884/", "2001:db8::1", 1884),
        ("mqtt://[::1]", "::1", 1883),
        ("mqtts://platform.example.:1", "platform.example.", 1),
    ],
)
def test_what_may_be_left_out(text: str, host: str, port: int) -> None:
    assert ServerAddress.parse(text, BROKERS).at == HostPort(host, port)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("mqtts：//platform.example:8883", "full-width character '：': use ':'"),
        ("mqtts://platform.example：8883", "full-width character '：'"),
        ("mqtts://platform。example:8883", "full-width character '。': use '.'"),
        ("mqtts://platform.example:８８８３", "U+FF18"),
        ("mqtts://platform.example:8883\u200b", "U+200B"),
        ("mqtts://平台.example", "U+5E73"),
        ("mqtts://plat form:8883", "U+0020"),
        ("mqtts://[::1:8883", "HOST:PORT"),
        ("mqtts://::1]:8883", "HOST:PORT"),
        ("mqtts://2001:db8::1", "stands in brackets"),
        ("mqtts://[10.0.0.1]:8883", "IPv6 address must stand between the brackets"),
        ("mqtts://[]:8883", "IPv6 address"),
        ("mqtts://h:0", "1 to 65535"),
        ("mqtts://h:", "1 to 65535"),
        ("mqtts://h:65536", "1 to 65535"),
        ("mqtts://h:+1", "1 to 65535"),
        ("mqtts://h:000001", "1 to 65535"),
        ("mqtts://10.0.0.300", "IPv4"),
        ("mqtts://10.1", "IPv4"),
        ("mqtts://:8883", "host name"),
        ("mqtts://-a.example", "host name"),
        ("mqtts://a..b", "host name"),
        ("mqtts://" + "a." * 127 + "b", "host name"),
        ("mqtts://h/path", "no path"),
        ("mqtts://h?x=1", "no path, no query"),
        ("mqtts:///h", "no path"),
        ("mqtts:h", "mqtts://HOST:PORT"),
        ("http://h", "mqtts://HOST:PORT"),
        ("platform.example:8883", "mqtts://HOST:PORT"),
        ("", "mqtts://HOST:PORT"),
    ],
)
def test_an_address_is_refused_with_what_is_wrong(text: str, why: str) -> None:
    with pytest.raises(BadAddress) as caught:
        ServerAddress.parse(text, BROKERS)
    assert why in str(caught.value)


@pytest.mark.parametrize("text", ["box:hunter2@h:1", "hunter2@h", "box:hunter2/a@h", "box:hunter2#@h"])
def test_a_password_is_refused_and_not_quoted(text: str) -> None:
    with pytest.raises(BadAddress) as caught:
        ServerAddress.parse(f"mqtts://{text}", BROKERS)
    assert "hunter2" not in str(caught.value)


def test_port_0_is_for_servers_that_choose_one() -> None:
    assert HostPort.parse("[::1]:0", may_choose=True) == HostPort("::1", 0)
    with pytest.raises(BadAddress):
        HostPort.parse("[::1]:0")
    with pytest.raises(BadAddress):
        HostPort.parse("localhost", may_choose=True)


@pytest.mark.parametrize(("host", "is_here"), [("127.8.9.1", True), ("::1", True), ("LOCALHOST", True), ("h", False)])
def test_this_machine_is_known(host: str, is_here: bool) -> None:
    assert HostPort(host, 1).is_loopback is is_here
    assert not HostPort(str(IPv4Address("10.0.0.1")), 1).is_loopback
    assert not HostPort(str(IPv6Address("::2")), 1).is_loopback
