"""The enrolment sheet for the installer: QR code, token and expiry."""

from __future__ import annotations

import html
import re
from datetime import datetime

import zxingcpp

from sync.contract.enrolment import Invitation

_PAGE = """\
<!doctype html>
<html lang="zh-CN">
<meta charset="utf-8">
<title>{name}</title>
<style>
  body {{ font: 14pt/1.5 "Noto Sans CJK SC", sans-serif; max-width: 17cm; margin: 1cm auto; }}
  svg {{ width: 9cm; height: 9cm; }}
  th {{ text-align: left; font-weight: normal; padding-right: 1em; vertical-align: top; }}
  td {{ font-family: monospace; overflow-wrap: anywhere; }}
  @media print {{ body {{ margin: 0; }} }}
</style>
<h1>电子哨兵登记单 Enrolment of {name}</h1>
{code}
<table>
<tr><th>序列号 Serial<td>{serial}
<tr><th>口令 Token<td>{token}
<tr><th>有效期至 Use before<td>{until}
<tr><th>登记地址 Address<td>{url}
<tr><th>机构指纹 Fingerprint (SHA-256)<td>{ca}
</table>
<p>口令只能用一次，只对这台设备有效。用完或过期请销毁本页。
<br>The token works once, for this box alone. Destroy this page when it is used or out of date.
</html>
"""


def render_sheet(invitation: Invitation, name: str, expires: datetime) -> str:
    """A self-contained HTML page for printing; it contains a secret until `expires`."""
    text = {
        "name": name,
        "serial": invitation.serial,
        "token": grouped(invitation.token),
        "until": f"{expires.astimezone():%Y-%m-%d %H:%M %Z}",
        "url": invitation.url,
        "ca": invitation.ca_sha256,
    }
    return _PAGE.format(code=_code(str(invitation)), **{key: html.escape(value) for key, value in text.items()})


def grouped(token: str) -> str:
    """A token in groups of four characters."""
    return "-".join(re.findall("....", token))


def _code(text: str) -> str:
    """The QR code as SVG, scaled by its container."""
    barcode = zxingcpp.create_barcode(text, zxingcpp.BarcodeFormat.QRCode, ec_level="M")
    svg: str = barcode.to_svg(scale=4, add_quiet_zones=True)
    return re.sub(r'<svg width="(\d+)" height="(\d+)"', r'<svg viewBox="0 0 \1 \2"', svg[svg.index("<svg") :])
