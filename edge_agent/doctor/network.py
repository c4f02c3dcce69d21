"""The way to the platform, and the port that the resident's page is served on."""

from __future__ import annotations

import errno
import socket
from pathlib import Path
from urllib.parse import urlsplit

from config.credentials import secret_path
from edge_agent.doctor.certificates import read_certificates
from edge_agent.doctor.report import Check, CheckResult, CheckStatus, Remedy, Site, failed, not_checked, ok, warning
from edge_agent.doctor.times import is_plausible
from edge_agent.kiosk.guard import is_loopback_host
from edge_agent.platform_link.link_settings import link_settings
from sync.errors import UnsafeLink
from sync.mqtt.broker_address import BrokerAddress
from sync.mqtt.tls_probe import Handshake, try_handshake

_STEP_LIMIT_S = 4.0
_RENEW_SHARE = 1 / 3  # of a certificate's life left: it should have been renewed by now

_OFFLINE = "断网时哨兵按离线规则工作。", "Until then the offline rule holds."
_REMEDIES = {
    Handshake.REFUSED: Remedy(
        f"平台地址上没有服务：请检查 [platform] url 的端口，或通知平台。{_OFFLINE[0]}",
        f"Nothing listens there: check the port in [platform] url, or tell the platform's staff. {_OFFLINE[1]}",
    ),
    Handshake.SILENT: Remedy(
        f"没有应答：请检查网线、网关和防火墙（出站 TCP 8883）。{_OFFLINE[0]}",
        f"No answer: check the cable, the router and the firewall (TCP 8883 out). {_OFFLINE[1]}",
    ),
    Handshake.NOT_TLS: Remedy(
        "对方不是加密的 MQTT 服务：请检查 [platform] url 的端口。",
        "What answers is no MQTT over TLS: check the port in [platform] url.",
    ),
    Handshake.WRONG_CA: Remedy(
        "平台证书不是由 [platform] ca_file 签发：请向平台索取正确的 CA 文件；切勿绕过。",
        "Not signed by [platform] ca_file: get the right CA file from the platform, and connect to nothing else.",
    ),
    Handshake.WRONG_NAME: Remedy(
        "平台证书的名称与 [platform] url 不符：请使用证书中的主机名。",
        "The broker's certificate is for another name: write the name that it is for into [platform] url.",
    ),
    Handshake.WRONG_DATE: Remedy(
        "平台证书已过期或尚未生效：请先核对本机时间，再请平台更换证书。",
        "The broker's certificate is out of date: check this clock first, then have the platform renew it.",
    ),
    Handshake.CLIENT_REFUSED: Remedy(
        "平台拒绝本机证书：请重新签发（edge-agent provision），并确认该设备未被吊销。",
        "The broker refuses this box's certificate: enrol anew (edge-agent provision), and ask whether it was revoked.",
    ),
}
_OLD_CA = (
    "社区 CA 证书较旧，缺少 RFC 5280 要求的扩展：本机仍可使用，其他软件可能拒绝。"
    "请平台用原密钥重签 CA 证书（docs/broker.md“旧 CA 证书”），放到 [platform] ca_file；已签发的证书继续有效。",
    "The district's CA certificate is old and lacks extensions that RFC 5280 requires: this box still accepts it, other"
    " software may not. Ask the platform to sign it again with the same key (docs/broker.md, An old CA certificate) and"
    " put it into [platform] ca_file; certificates that it issued stay valid.",
)


def dns(site: Site) -> CheckResult:
    """The platform's name leads to an address."""
    host = urlsplit(site.settings.platform.url).hostname or ""
    try:
        found = socket.getaddrinfo(host, None, proto=socket.IPPROTO_TCP)
    except OSError as exc:
        return failed(
            f"{host}: {exc.strerror}",
            "请检查 /etc/resolv.conf 中的 DNS 服务器和 [platform] url 的拼写。",
            "Check the name servers in /etc/resolv.conf and the spelling in [platform] url.",
        )
    return ok(f"{host} is {found[0][4][0]}")


def certificate(site: Site) -> CheckResult:
    """This box's certificate and the CA's are in date, and the key is the certificate's."""
    platform = site.settings.platform
    if not platform.url.startswith("mqtts://"):
        return not_checked("the link is plain, on this machine")
    remedy = "请重新签发本机证书：edge-agent provision。", "Enrol this box anew: edge-agent provision"
    try:
        own, authority, fits, ca_lacks = read_certificates(
            Path(platform.cert_file), secret_path(platform.key_file), Path(platform.ca_file)
        )
    except OSError as exc:
        return failed(f"{exc.filename}: {exc.strerror}", *remedy)
    except ValueError as exc:
        return failed(str(exc), *remedy)
    if not fits:
        return failed(f"{platform.key_file} is not the key of {platform.cert_file}", *remedy)
    if not is_plausible(site):
        return not_checked("dates cannot be judged by this clock: see date")
    if not authority.holds(site.now.wall):
        return failed(f"the CA's is valid {authority}", "请向平台索取新的 CA 文件。", "Get the platform's new CA file.")
    if not own.holds(site.now.wall):
        return failed(f"valid {own}", *remedy)
    left = own.left_share(site.now.wall)
    if left < _RENEW_SHARE:
        return warning(f"valid {own}: {left:.0%} of its life are left", *remedy)
    if ca_lacks:
        return warning(f"valid {own}; the CA's certificate is old: no {', no '.join(ca_lacks)}", *_OLD_CA)
    return ok(f"valid {own}")


def platform(site: Site) -> CheckResult:
    """The broker is the one we trust, and accepts us."""
    if site.agent is not None and site.agent["link"]["connected"]:
        return ok(f"{site.settings.platform.url}: connected (by the running agent)")
    chosen = link_settings(site.settings)
    try:
        broker = BrokerAddress.from_url(chosen.url, chosen.tls)
    except UnsafeLink as exc:
        if certificate(site).status is CheckStatus.FAILED:
            return not_checked("the certificates cannot be used: see certificate")
        return failed(
            str(exc),
            "请改正 [platform] url：mqtts://主机:端口；明文只允许在本机。",
            "Correct [platform] url: mqtts://HOST:PORT; plain text stays on this machine.",
        )
    result, words = try_handshake(broker, _STEP_LIMIT_S)
    if result in (Handshake.VERIFIED, Handshake.PLAIN):
        return ok(f"{broker}: {words}")
    if result is Handshake.UNKNOWN_NAME:
        return not_checked("its name is not known: see dns")
    return failed(f"{broker}: {words}", _REMEDIES[result].zh, _REMEDIES[result].en)


def kiosk_port(site: Site) -> CheckResult:
    """The port of the resident's page is ours, or free."""
    kiosk = site.settings.kiosk
    address = f"{kiosk.host}:{kiosk.port}"
    if site.agent is not None:
        return ok(f"{address}: the agent answers")
    if not is_loopback_host(kiosk.host):
        return failed(
            f"{address} would be seen by the network",
            "请将 [kiosk] host 改为 127.0.0.1。",
            "Set [kiosk] host to 127.0.0.1: the page is not encrypted and stays on this machine.",
        )
    family = socket.AF_INET6 if ":" in kiosk.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((kiosk.host, kiosk.port))
        except OSError as exc:
            if exc.errno == errno.EADDRINUSE:
                return failed(
                    f"{address} is taken by another program",
                    f"请停用占用该端口的程序（ss -ltnp 'sport = :{kiosk.port}'），或修改 [kiosk] port。",
                    f"Stop that program (ss -ltnp 'sport = :{kiosk.port}' names it), or set another [kiosk] port.",
                )
            return failed(f"{address}: {exc.strerror}", "请检查 [kiosk] host 和 port。", "Check [kiosk] host and port.")
    return ok(f"{address} is free")


CHECKS = (
    Check("dns", dns, limit_s=10.0),
    Check("certificate", certificate),
    Check("platform", platform, limit_s=20.0),
    Check("kiosk port", kiosk_port),
)
