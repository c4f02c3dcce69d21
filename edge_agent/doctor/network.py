"""Checks of the connection to the platform and of the kiosk's port."""

from __future__ import annotations

import errno
import socket
from pathlib import Path

from config.credentials import secret_path
from edge_agent.box.key_files import tls_files
from edge_agent.doctor.certificates import read_certificates
from edge_agent.doctor.report import Check, CheckResult, CheckStatus, Remedy, Site, failed, not_checked, ok, warning
from edge_agent.doctor.times import is_plausible
from edge_agent.platform_link.link_settings import link_settings
from sync.errors import UnsafeLink
from sync.mqtt.broker_address import BrokerAddress, parse_broker_url
from sync.mqtt.tls_probe import Handshake, try_handshake
from sync.network_address import HostPort, is_loopback

_STEP_LIMIT_S = 4.0
_RENEW_SHARE = 1 / 3  # of the validity period remaining: automatic renewal should have happened

_OFFLINE = "断网时哨兵按离线规则工作。", "Until then the offline rule applies."
_REMEDIES = {
    Handshake.REFUSED: Remedy(
        f"平台地址上没有服务：请检查 [platform] url 的端口，或通知平台。{_OFFLINE[0]}",
        f"Nothing listens there: check the port in [platform] url, or inform the platform's operators. {_OFFLINE[1]}",
    ),
    Handshake.SILENT: Remedy(
        f"没有应答：请检查网线、网关和防火墙（出站 TCP 8883）。{_OFFLINE[0]}",
        f"No answer: check the cable, the router and the firewall (outgoing TCP 8883). {_OFFLINE[1]}",
    ),
    Handshake.NOT_TLS: Remedy(
        "对方不是加密的 MQTT 服务：请检查 [platform] url 的端口。",
        "The server does not speak MQTT over TLS: check the port in [platform] url.",
    ),
    Handshake.WRONG_CA: Remedy(
        "平台证书不是由 [platform] ca_file 签发：请向平台索取正确的 CA 文件；缺少中间机构证书时请平台补上；切勿绕过。",
        "Not signed by [platform] ca_file: get the right CA file from the platform, or have the platform add a missing"
        " intermediate certificate; do not bypass this check.",
    ),
    Handshake.WRONG_NAME: Remedy(
        "平台证书的名称与 [platform] url 不符：请使用证书中的主机名。",
        "The broker's certificate is for another name: use its host name in [platform] url.",
    ),
    Handshake.WRONG_DATE: Remedy(
        "平台证书已过期或尚未生效：请先核对本机时间，再请平台更换证书。",
        "The broker's certificate is out of date: check this box's clock first, then ask the platform to renew it.",
    ),
    Handshake.CLIENT_REFUSED: Remedy(
        "平台拒绝本机证书：请重新签发（edge-agent provision），并确认该设备未被吊销。",
        "The broker refuses this box's certificate: enrol again (edge-agent provision), ask whether it was revoked.",
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
    """The platform's host name resolves to an address."""
    try:
        host = parse_broker_url(site.settings.platform.url).at.host
    except UnsafeLink:
        return not_checked("the address is not valid: see platform")
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
    """The certificates of box and CA are valid now, and the key belongs to the certificate."""
    platform = site.settings.platform
    if platform.url.lower().startswith("mqtt://"):
        return not_checked("the link is not encrypted (loopback)")
    remedy = "请重新签发本机证书：edge-agent provision。", "Enrol this box again: edge-agent provision"
    files = tls_files(platform)
    try:
        own, authority, matches, ca_lacks = read_certificates(
            Path(platform.cert_file), secret_path(platform.key_file), Path(platform.ca_file), files.passphrase
        )
    except OSError as exc:
        return failed(f"{exc.filename}: {exc.strerror}", *remedy)
    except (UnsafeLink, ValueError) as exc:
        return failed(str(exc), *remedy)
    if not matches:
        return failed(f"{platform.key_file} is not the key of {platform.cert_file}", *remedy)
    if not is_plausible(site):
        return not_checked("the clock is wrong, so the dates cannot be checked: see date")
    if not authority.includes(site.now.wall):
        return failed(
            f"the CA certificate is valid {authority}",
            "请向平台索取新的 CA 文件。",
            "Get the new CA file from the platform.",
        )
    if not own.includes(site.now.wall):
        return failed(f"valid {own}", *remedy)
    remaining = own.remaining_share(site.now.wall)
    if remaining < _RENEW_SHARE:
        return warning(f"valid {own}: {remaining:.0%} of the period remaining", *remedy)
    if ca_lacks:
        return warning(f"valid {own}; the CA's certificate is old: no {', no '.join(ca_lacks)}", *_OLD_CA)
    return ok(f"valid {own}")


def platform(site: Site) -> CheckResult:
    """The broker's certificate is trusted, and the broker accepts this box."""
    if site.agent is not None and site.agent["link"]["connected"]:
        return ok(f"{site.settings.platform.url}: connected (by the running agent)")
    try:
        link = link_settings(site.settings)
        broker = BrokerAddress.from_url(link.url, link.tls)
    except UnsafeLink as exc:
        if certificate(site).status is CheckStatus.FAILED:
            return not_checked("the certificates are unusable: see certificate")
        return failed(
            str(exc),
            "请改正 [platform] url：mqtts://主机:端口；明文只允许在本机。",
            "Correct [platform] url: mqtts://HOST:PORT; unencrypted links are allowed on loopback only.",
        )
    handshake, detail = try_handshake(broker, _STEP_LIMIT_S)
    if handshake in (Handshake.VERIFIED, Handshake.PLAIN):
        return ok(f"{broker}: {detail}")
    if handshake is Handshake.UNKNOWN_NAME:
        return not_checked("the host name does not resolve: see dns")
    return failed(f"{broker}: {detail}", _REMEDIES[handshake].zh, _REMEDIES[handshake].en)


def kiosk_port(site: Site) -> CheckResult:
    """The kiosk's port is free, or the agent listens on it."""
    kiosk = site.settings.kiosk
    address = HostPort(kiosk.host, kiosk.port)
    if site.agent is not None:
        return ok(f"{address}: the agent answers")
    if not is_loopback(kiosk.host):
        return failed(
            f"{address} is reachable from the network",
            "请将 [kiosk] host 改为 127.0.0.1。",
            "Set [kiosk] host to 127.0.0.1: the page is not encrypted and must stay on this machine.",
        )
    family = socket.AF_INET6 if ":" in kiosk.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((kiosk.host, kiosk.port))
        except OSError as exc:
            if exc.errno == errno.EADDRINUSE:
                return failed(
                    f"{address} is used by another program",
                    f"请停用占用该端口的程序（ss -ltnp 'sport = :{kiosk.port}'），或修改 [kiosk] port。",
                    f"Stop that program (ss -ltnp 'sport = :{kiosk.port}' shows it), or set another [kiosk] port.",
                )
            return failed(f"{address}: {exc.strerror}", "请检查 [kiosk] host 和 port。", "Check [kiosk] host and port.")
    return ok(f"{address} is free")


CHECKS = (
    Check("dns", dns, limit_s=10.0),
    Check("certificate", certificate),
    Check("platform", platform, limit_s=20.0),
    Check("kiosk port", kiosk_port),
)
