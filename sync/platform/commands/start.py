"""Entry point of `edge-platform`: Ctrl-C while the commands are being imported must not print a traceback."""

from __future__ import annotations

from sync.terminal.quiet_interrupt import quiet_interrupt


def main() -> None:
    """Import the command line and run it."""
    with quiet_interrupt():
        from sync.platform.commands import cli
    cli.main()
