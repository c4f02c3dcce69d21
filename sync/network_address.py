"""Addresses of servers, parsed once into a value; IPv6 addresses are shown in brackets."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

_HOST_PORT = re.compile(r"(?:\[(?P<ipv6>[^\[\]]*)\]|(?P<name>[^\[\]:]*))(?::(?P<port>[^:]*))?", re.DOTALL)
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_LONGEST_NAME = 253
_FULL_WIDTH = {ord("："): ":", ord("／"): "/", ord("．"): ".", ord("。"): ".", ord("［"): "[", ord("］"): "]"}


class BadAddress(ValueError):
    """The text is not an address; the message says why in Chinese and English, without a password."""

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(f"{zh} {en}")


@dataclass(frozen=True, slots=True)
class HostPort:
    """Host and port: a DNS name, an IPv4 or an IPv6 address, which has no brackets in `host`."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can be reached there."""
        return is_loopback(self.host)

    @classmethod
    def parse(cls, text: str, default_port: int | None = None, *, may_choose: bool = False) -> HostPort:
        """`text` as host:port; `default_port` None requires a port, `may_choose` accepts port 0. Raises BadAddress."""
        _check_characters(text)
        if "@" in text:
            raise BadAddress("地址中不能有用户名和密码。", "The address must not contain a user name or password.")
        if (found := _HOST_PORT.fullmatch(text)) is None:
            raise BadAddress(
                "地址应为 主机:端口，IPv6 写作 [::1]:端口。",
                "The address must be HOST:PORT; an IPv6 address stands in brackets: [::1]:PORT",
            )
        host = _host(found["name"]) if found["ipv6"] is None else _ipv6(found["ipv6"])
        return cls(host, _port(found["port"], default_port, may_choose=may_choose))


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """Scheme, host and port of a server."""

    scheme: str
    at: HostPort

    def __str__(self) -> str:
        return f"{self.scheme}://{self.at}"

    @classmethod
    def parse(cls, text: str, ports: Mapping[str, int]) -> ServerAddress:
        """`text` as SCHEME://HOST[:PORT]; `ports` has the accepted schemes and their ports. Raises BadAddress."""
        _check_characters(text)
        scheme, _, rest = text.partition("://")
        if scheme.lower() not in ports:
            accepted = ", ".join(f"{each}://HOST:PORT" for each in ports)
            raise BadAddress(f"地址应为 {accepted}。", f"The address must be {accepted}")
        if re.search(r"[/?#;]", rest.rpartition("@")[2].removesuffix("/")):
            raise BadAddress(
                "地址在端口之后不能有其他内容。", "The address must end after the port: no path, no query."
            )
        return cls(scheme.lower(), HostPort.parse(rest.removesuffix("/"), ports[scheme.lower()]))


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine and no other."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def is_own_name(header: str, names: Collection[str]) -> bool:
    """Whether the Host `header` of a request names this server: an IP address, `localhost`, or one of `names`.

    It prevents DNS rebinding: another site can make its own name resolve to this machine, but not an IP address,
    `localhost` or a name of this server. `names` are in lower case.
    """
    try:
        name = urlsplit(f"//{header}").hostname
    except ValueError:
        return False
    return name is not None and (_is_address(name) or name == "localhost" or name in names)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _check_characters(text: str) -> None:
    """Raise BadAddress for a character that an input method or a copy put into the address."""
    for character in text:
        if ord(character) in _FULL_WIDTH:
            meant = _FULL_WIDTH[ord(character)]
            raise BadAddress(
                f"地址中有全角字符“{character}”：请改用半角“{meant}”。",
                f"The address contains the full-width character {character!r}: use {meant!r}",
            )
        if not "!" <= character <= "~":
            raise BadAddress(
                f"地址中有不允许的字符 U+{ord(character):04X}。",
                f"The address contains the character U+{ord(character):04X}, which is not allowed",
            )


def _host(text: str) -> str:
    """A DNS name or an IPv4 address, in lower case. Raises BadAddress."""
    labels = text.removesuffix(".").split(".")
    if labels[-1].isdecimal():  # a name cannot end in a number (RFC 1123), and "10.1" would be read as 10.0.0.1
        try:
            return str(ipaddress.IPv4Address(text))
        except ValueError as exc:
            raise BadAddress("IPv4 地址有误。", "The IPv4 address is not valid.") from exc
    if len(text) > _LONGEST_NAME or not all(map(_LABEL.fullmatch, labels)):
        raise BadAddress("主机名缺失或有误。", "The host name is missing or not valid.")
    return text.lower()


def _ipv6(text: str) -> str:
    try:
        return str(ipaddress.IPv6Address(text))
    except ValueError as exc:
        raise BadAddress("方括号中应为 IPv6 地址。", "An IPv6 address must stand between the brackets.") from exc


def _port(text: str | None, default: int | None, *, may_choose: bool) -> int:
    if text is None and default is not None:
        return default
    least = 0 if may_choose else 1
    if text is None or not text.isdecimal() or len(text) > 5 or not least <= int(text) <= 65535:
        raise BadAddress(f"端口应为 {least}-65535。", f"The port must be {least} to 65535")
    return int(text)
