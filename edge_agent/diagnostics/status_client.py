"""Reads the status of the agent that runs on this box."""

from __future__ import annotations

import json
from http.client import HTTPException
from typing import Any
from urllib.request import ProxyHandler, build_opener

from sync.network_address import HostPort

_LIMIT_S = 5.0
_NO_PROXY = build_opener(ProxyHandler({}))  # a proxy of the environment would ask its own machine
_MOST_BYTES = 1024 * 1024
_AGENT_KEYS = {"view", "safe_mode"}


class AgentNotResponding(Exception):
    """The agent does not answer; the message contains the URL."""


class AgentAlreadyRunning(Exception):
    """The agent runs and uses the devices; the message says how to stop it."""


def check_stopped(host: str, port: int) -> None:
    """Raises AgentAlreadyRunning if an agent answers there."""
    try:
        ask_agent(host, port)
    except AgentNotResponding:
        return
    raise AgentAlreadyRunning(
        "agent 正在运行，占用着设备：请先停止它，完成后再启动。"
        "The agent is running and uses the devices: stop it (sudo systemctl stop edge-agent), restart it afterwards."
    )


def ask_agent(host: str, port: int) -> dict[str, Any]:
    """The status report of the agent whose kiosk listens there. Raises AgentNotResponding."""
    url = f"http://{HostPort(host, port)}/api/status"
    try:
        with _NO_PROXY.open(url, timeout=_LIMIT_S) as answer:
            report: dict[str, Any] = json.loads(answer.read(_MOST_BYTES))
    except (OSError, HTTPException, ValueError) as exc:
        raise AgentNotResponding(
            f"{url}: 没有 agent 应答，请检查是否在运行。 "
            "No agent answers there: is it running? (systemctl status edge-agent)"
        ) from exc
    if not isinstance(report, dict) or not _AGENT_KEYS.intersection(report):
        raise AgentNotResponding(
            f"{url}: 应答的不是 agent，请检查 [kiosk] port。 The answer is not from an agent: check [kiosk] port"
        )
    return report


def status_lines(report: dict[str, Any]) -> list[str]:
    """The report as lines of text."""
    if why := report.get("safe_mode"):
        connected = report["link"] is not None and report["link"]["connected"]
        return [
            f"safe mode 安全模式: no device is open; the last start failed: {why}",
            f"platform   {'connected' if connected else 'not connected'}",
        ]
    view, outbox, link = report["view"], report["outbox"], report["link"]
    lines = [f"stage      {view['stage']}, {view['passages']} passages since the start {report['up_s']:.0f} s ago"]
    lines += [f"{part['name']:<10} {part['state']} {part['detail']}".rstrip() for part in view["parts"]]
    lines.append(
        f"platform   {'connected' if link['connected'] else 'not connected'}, data {view['link']['freshness']}"
    )
    lines.append(f"outbox     {outbox['unacknowledged']} of {outbox['last_seq']} records wait for the platform")
    lines.append(f"memory     {report['rss_mb']} MB, {report['cpu_s']} s of processor time")
    return lines
