"""The network of a client, for which connections and requests are limited."""

from __future__ import annotations

import ipaddress


def client_network(address: str | None) -> str:
    """The key of a remote address in a limit: the IPv4 address, or the IPv6 /64, all of which one host can use."""
    if address is None:
        return ""
    read = ipaddress.ip_address(address.partition("%")[0])
    if read.version == 6 and read.ipv4_mapped is not None:
        return str(read.ipv4_mapped)
    return address if read.version == 4 else str(ipaddress.ip_network((read, 64), strict=False))
