"""Entry point of `edge-agent`: importing the commands takes some 0.4 s, in which Ctrl-C must not print a traceback."""

from __future__ import annotations

from sync.terminal.quiet_interrupt import quiet_interrupt


def main() -> None:
    """Import the command line and run it."""
    with quiet_interrupt():
        from edge_agent.commands import cli
    cli.main()
