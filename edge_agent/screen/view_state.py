"""What the people at the gate may see: one frozen view, replaced as a whole."""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import StrEnum

import msgspec

from config.settings import Settings
from drivers.latest import Latest
from edge_agent.domain.passage import Decision, Verdict
from edge_agent.screen.language_choice import LanguageSelector

STAFF_CALL_S = 120.0  # how long the screen shows that staff were called, unless staff arrive earlier


class ScreenStage(StrEnum):
    """Stage of the current passage."""

    STARTING = "starting"  # parts are being opened
    IDLE = "idle"  # no person
    ARRIVAL = "arrival"  # a face, not yet near or steady enough
    MEASURING = "measuring"  # being measured; the credential may be missing
    RESULT = "result"  # a verdict is shown
    OUT_OF_SERVICE = "out_of_service"  # safe mode: no device is open


NO_PERSON = {ScreenStage.STARTING, ScreenStage.IDLE, ScreenStage.OUT_OF_SERVICE}  # stages without a person


class Hint(StrEnum):
    """What the person should do now; a key of the prompt catalogue."""

    COME_CLOSER = "come_closer"
    HOLD_STILL = "hold_still"
    SHOW_CODE = "show_code"
    LOOK_OR_SHOW = "look_or_show"  # where registered faces count
    PLEASE_WAIT = "please_wait"
    CALL_STAFF = "call_staff"


class PartView(msgspec.Struct, frozen=True):
    """One device: `state` is starting, ok, lost or broken; `fault` is a `drivers.contract.PartFault`, or empty."""

    name: str
    state: str
    detail: str = ""
    fault: str = ""


class LinkView(msgspec.Struct, frozen=True):
    """State of the link, and age of the directory."""

    connected: bool
    platform_online: bool
    freshness: str  # fresh, aging, stale, expired
    age_s: float | None


class Notice(msgspec.Struct, frozen=True):
    """A public message in plain text by language; `at` is its time of day, "" while it is played."""

    texts: dict[str, str]
    at: str = ""


class ScreenView(msgspec.Struct, frozen=True):
    """Everything a screen needs; it never contains a name, number, colour or list membership.

    `face` is (x, y, w, h) as fractions of the picture. `credential` is none, read, unreadable or expired.
    `serial` grows by one with every view, so that a page can tell a repeat from a change; `visit` with every person.
    """

    serial: int
    stage: ScreenStage
    hint: Hint | None
    face: tuple[float, float, float, float] | None
    temperature_c: float | None
    mask: str | None
    credential: str
    verdict: str | None
    reasons: tuple[str, ...]
    prompt: str | None
    parts: tuple[PartView, ...]
    link: LinkView
    passages: int
    language: str
    visit: int = 0
    staff_called: bool = False
    emergency: Notice | None = None
    bulletin: Notice | None = None


def make_view_state(settings: Settings) -> ViewState:
    """The view of this box in its languages."""
    announcer = settings.announcer
    return ViewState(LanguageSelector(settings.speaker.language, announcer.also, announcer.turn_s))


class ViewState:
    """Owns the view: the passage loop sets its stage, the device monitor its parts and link."""

    def __init__(self, languages: LanguageSelector, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.views: Latest[ScreenView] = Latest()
        self._languages = languages
        self._monotonic = monotonic
        self._staff_called_until_s = 0.0
        self._view = ScreenView(
            serial=0,
            stage=ScreenStage.STARTING,
            hint=None,
            face=None,
            temperature_c=None,
            mask=None,
            credential="none",
            verdict=None,
            reasons=(),
            prompt=None,
            parts=(),
            link=LinkView(connected=False, platform_online=False, freshness="expired", age_s=None),
            passages=0,
            language=languages.default_languages[0],
        )
        self.views.put(self._view)

    @property
    def view(self) -> ScreenView:
        """The newest view."""
        return self._view

    @property
    def default_languages(self) -> tuple[str, ...]:
        """The languages of public messages, the default first."""
        return self._languages.default_languages

    def show(
        self,
        stage: ScreenStage,
        *,
        hint: Hint | None = None,
        face: tuple[float, float, float, float] | None = None,
        temperature_c: float | None = None,
        mask: str | None = None,
        credential: str = "none",
        decision: Decision | None = None,
        prompt: str | None = None,
    ) -> None:
        """Show the stage of the passage."""
        self._publish(
            stage=stage,
            hint=hint,
            face=None if face is None else tuple(round(part, 3) for part in face),
            temperature_c=None if temperature_c is None else round(temperature_c, 1),
            mask=mask,
            credential=credential,
            verdict=decision.verdict.value if decision else None,
            reasons=tuple(reason.value for reason in decision.reasons) if decision else (),
            prompt=prompt,
            passages=self._view.passages + (1 if decision else 0),
            visit=self._view.visit + self._is_next_person(stage),
        )

    def show_parts(self, parts: tuple[PartView, ...], link: LinkView) -> None:
        """Show the state of the devices and of the link."""
        self._publish(parts=parts, link=link)

    def show_notices(self, emergency: Notice | None, bulletin: Notice | None) -> None:
        """Show public messages: an emergency fills the screen, a bulletin is one line of the idle screen."""
        self._publish(emergency=emergency, bulletin=bulletin)

    def choose_language(self, language: str) -> None:
        """Use `language` for the present person."""
        self._languages.choose(language, self._view.visit, self._monotonic())
        self._publish()

    def speak(self, language: str) -> None:
        """Make `language` the default."""
        self._languages.speak(language)
        self._publish()

    def call_staff(self) -> bool:
        """Show that staff were called; False where that is shown already."""
        now_s = self._monotonic()
        news = now_s >= self._staff_called_until_s
        if news:
            self._staff_called_until_s = now_s + STAFF_CALL_S
            self._publish()
        return news

    def staff_came(self) -> None:
        """Staff have arrived: end the call."""
        self._staff_called_until_s = 0.0
        self._publish()

    def _is_next_person(self, stage: ScreenStage) -> bool:
        """Whether this stage begins a new visit: a person after none, or after a final verdict."""
        before = self._view
        if stage in NO_PERSON or stage is before.stage:
            return False
        return before.stage in NO_PERSON or before.verdict not in (None, Verdict.RECHECK)

    def _publish(self, **changes: object) -> None:
        now_s = self._monotonic()
        new = msgspec.structs.replace(self._view, **changes)
        new = msgspec.structs.replace(
            new,
            staff_called=now_s < self._staff_called_until_s,
            language=self._languages.current(
                new.visit,
                present=new.stage not in NO_PERSON,
                settled=new.stage is ScreenStage.RESULT,
                at_s=now_s,
            ),
        )
        if new != self._view:
            self._view = msgspec.structs.replace(new, serial=self._view.serial + 1)
            self.views.put(self._view)
