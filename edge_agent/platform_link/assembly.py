"""Makes the link to the platform and the part that executes its orders; the agent and safe mode use the same."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from config.settings import Settings
from edge_agent.box.key_files import signing_key
from edge_agent.box.wall_clock import WallClock
from edge_agent.platform_link.link_settings import link_settings, versions
from edge_agent.platform_link.order_handlers import OrderExecutor
from edge_agent.policy.active_policy import ActivePolicy
from edge_agent.records.conversion import clock_record
from edge_agent.speech.broadcasts.broadcast import TakesBroadcasts
from sync.edge.directory.directory import Directory
from sync.edge.ledger.ledger import Ledger
from sync.edge.link.link import PlatformLink
from sync.edge.orders.receiver import OrderReceiver
from sync.edge.orders.replay_guard import ReplayGuard


def make_link(
    settings: Settings,
    ledger: Ledger,
    directory: Directory,
    clock: WallClock,
    parts: Callable[[], dict[str, str]],
) -> PlatformLink:
    """The link of this box; `parts` gives the state of each part by its name. Raises SettingsError."""
    return PlatformLink(
        link_settings(settings),
        ledger,
        directory,
        versions=versions(),
        boot_id=clock.boot_id,
        parts=parts,
        on_platform_time=clock.confirm,
    )


def accept_orders(
    link: PlatformLink,
    *,
    settings: Settings,
    directory: Directory,
    replay_guard: ReplayGuard,
    policy: ActivePolicy,
    broadcasts: TakesBroadcasts,
    clock: WallClock,
    report: Callable[[], Awaitable[dict[str, object]]],
    unlock_staff: Callable[[], None] = lambda: None,
) -> None:
    """Have `link` execute the platform's signed orders; without the platform's key none is accepted.

    `unlock_staff` ends the wait after wrong PINs; safe mode has no staff view.
    """
    if (key := signing_key(settings)) is None:
        return
    executor = OrderExecutor(
        settings=settings,
        policy=policy,
        directory=directory,
        broadcasts=broadcasts,
        clock=clock,
        report=report,
        unlock_staff=unlock_staff,
    )
    link.listen_to(OrderReceiver(replay_guard, key, executor.handlers(), lambda: clock_record(clock.own())))
