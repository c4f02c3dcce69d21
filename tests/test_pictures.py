"""The pictures of the README show the present pages, and are small."""

import json

from bench.pictures import FOLDER, MADE_FROM, MOST_BYTES, SHOWN, made_from, terminal


def test_pictures_are_there_and_small() -> None:
    sizes = [(FOLDER / f"{name}.webp").stat().st_size for name in SHOWN]
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= MOST_BYTES
    assert min(sizes) > 10_000  # an empty page is smaller


def test_pictures_are_of_the_present_sources() -> None:
    recorded = json.loads(MADE_FROM.read_text(encoding="utf-8"))
    assert recorded == made_from(), "run make pictures"


def test_a_terminal_keeps_every_character() -> None:
    page = terminal("$ edge-agent doctor\n✗ clock         not <confirmed>\n    → 请启用时间同步。\n")
    for text in ("✗", "not &lt;confirmed&gt;", "请启用时间同步。"):
        assert text in page
