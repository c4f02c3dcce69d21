"""How a TLS context checks certificates when its only authority is the district's own, given to it as a file."""

from __future__ import annotations

import ssl


def accept_older_certificates(context: ssl.SSLContext) -> None:
    """Accept certificates that lack extensions of RFC 5280, as every Python before 3.13 does.

    Only for a `context` that trusts the district's CA and no other: signature, dates, host name and purpose are checked
    as before. The extensions say to strangers what a CA may sign; here the authority is known by its own key, and a
    district whose CA is older than Python 3.13 would lose every box at an upgrade. `edge-agent doctor` reports them.
    """
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
