"""Certificate verification for TLS contexts that trust only the CA of the district, configured as a file."""

from __future__ import annotations

import ssl


def accept_older_certificates(context: ssl.SSLContext) -> None:
    """Accept certificates that lack extensions of RFC 5280, as every Python before 3.13 does.

    Use only for a `context` that trusts no CA other than the district's: signature, dates, host name and purpose are
    still verified. The extensions restrict what an unknown CA may sign; here the CA is pinned, and a district with an
    older CA would lose every box at an upgrade to Python 3.13. `edge-agent doctor` reports such certificates.
    """
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
