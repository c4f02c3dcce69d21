"""`edge-agent prompts`: the recorded prompts."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from config.catalogue import LANGUAGES, PROMPTS_DIR, Catalogue, load_catalogue, prompt_file
from config.errors import SettingsError
from edge_agent.commands.options import report_errors
from edge_agent.runtime.background import background

app = typer.Typer(no_args_is_help=True, help="提示音 The spoken prompts: build, play, check.")

LanguageOption = Annotated[str | None, typer.Option("--language", "-l", help="zh-CN, yue or en [all].")]
_START_LIMIT_S = 3.0


def languages_from(language: str | None) -> tuple[str, ...]:
    """The given language, or all. Raises SettingsError if it is unknown."""
    if language is not None and language not in LANGUAGES:
        raise SettingsError(f"language {language!r} is not known; accepted: {', '.join(LANGUAGES)}")
    return LANGUAGES if language is None else (language,)


@app.command()
def build(
    folder: Annotated[Path, typer.Option(help="Output folder for LANGUAGE/PROMPT.ogg.")] = PROMPTS_DIR,
) -> None:
    """Synthesise every prompt with espeak-ng; overwrites existing recordings."""
    from config.prompts.build import build as build_prompts
    from config.prompts.build import faults

    with report_errors():
        written = build_prompts(folder)
    found = [fault for path in written for fault in faults(path)]
    size_kb = sum(path.stat().st_size for path in written) / 1024
    typer.echo("\n".join([*found, f"{len(written)} prompts, {size_kb:.0f} KB, in {folder}"]))
    if found:
        raise typer.Exit(1)


@app.command()
def check() -> None:
    """List prompts that are missing, undecodable, silent, clipped or too long; exit 1 if there are any."""
    from config.prompts.build import faults_in

    with report_errors():
        found = faults_in()
    typer.echo("\n".join(found) if found else f"all prompts in {', '.join(LANGUAGES)} are valid")
    if found:
        raise typer.Exit(1)


@app.command()
def play(
    prompt: Annotated[str, typer.Argument(help="Name of a prompt, or all.")] = "all",
    language: LanguageOption = None,
    output: Annotated[str, typer.Option(help="As in the settings: auto, default, null or wav:FILE.")] = "auto",
) -> None:
    """Play prompts on this machine's speaker, one after another, and show their text."""
    from drivers.errors import DriverError

    with report_errors(DriverError):
        catalogue = load_catalogue()
        if prompt != "all" and prompt not in catalogue.prompts:
            raise SettingsError(f"prompt {prompt!r} is not known; accepted: all, {', '.join(catalogue.prompts)}")
        names = catalogue.prompts if prompt == "all" else (prompt,)
        asyncio.run(_play(catalogue, names, languages_from(language), output))


async def _play(catalogue: Catalogue, names: tuple[str, ...], languages: tuple[str, ...], output: str) -> None:
    from drivers.audio.sound_file import load_clip
    from drivers.audio.speaker import make_speaker
    from drivers.contract import PartState
    from drivers.errors import DeviceLost

    speaker = make_speaker(output=output)
    async with background(speaker.run()):
        try:
            async with asyncio.timeout(_START_LIMIT_S):
                while speaker.health.state is not PartState.OK:
                    await asyncio.sleep(0.02)
        except TimeoutError as exc:
            raise DeviceLost(f"the speaker does not open: {speaker.health.detail or 'no sound card'}") from exc
        for language in languages:
            for name in names:
                typer.echo(f"{language:<6} {name:<18} {catalogue.text('prompt', name, language)}")
                await speaker.play(load_clip(prompt_file(name, language)))
                await speaker.drained()
