"""The one owner of the speaker: which prompt belongs to a decision, and playing it."""

from __future__ import annotations

import logging

from config.catalogue import Catalogue, prompt_file
from drivers.contract import Speaker
from drivers.errors import DeviceLost
from drivers.sound import load_clip
from edge_agent.domain import Decision

_LOG = logging.getLogger(__name__)


class Announcer:
    """Speaks prompts in one language; the clips are loaded once, at the start.

    Raises SettingsError or DriverError when the catalogue or a clip cannot be used.
    """

    def __init__(self, speaker: Speaker, catalogue: Catalogue, language: str) -> None:
        self._speaker = speaker
        self._catalogue = catalogue
        self._clips = {prompt: load_clip(prompt_file(prompt, language)) for prompt in catalogue.prompts}

    def prompt_of(self, decision: Decision) -> str | None:
        """The prompt for a decision's first reason, None where it is only shown.

        The catalogue gives private reasons one prompt in common: a colour, a result or a list is never spoken.
        """
        return self._catalogue.spoken("reason", decision.reasons[0].value)

    async def say(self, prompt: str | None) -> float | None:
        """Start a prompt; returns the monotonic second of its first sample, None where nothing is heard."""
        if prompt is None:
            return None
        try:
            return await self._speaker.play(self._clips[prompt])
        except DeviceLost as exc:
            _LOG.warning("prompt %s was not heard: %s", prompt, exc)
            return None
