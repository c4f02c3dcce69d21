from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import pytest

from config.catalogue import LANGUAGES, PRIVATE, Catalogue, columns, load_catalogue
from config.errors import SettingsError
from edge_agent.domain.passage import Reason, Verdict
from edge_agent.screen.view_state import Hint, ScreenStage
from models.detections import MaskState
from sync.contract.health import Freshness

BYSTANDERS_MUST_NOT_KNOW = (
    Reason.CODE_RED,
    Reason.CODE_YELLOW,
    Reason.CODE_UNASSIGNED,
    Reason.TEST_POSITIVE,
    Reason.WATCH_LIST,
)
TELLING = ("红", "紅", "黄", "黃", "绿", "綠", "阳性", "陽性", "名单", "名單", "发热", "發燒")
TELLING_IN_ENGLISH = ("red", "yellow", "green", "positive", "list", "fever")


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue()


@pytest.mark.parametrize(
    ("section", "kind", "more"),
    [
        ("stage", ScreenStage, set()),
        ("hint", Hint, set()),
        ("verdict", Verdict, set()),
        ("reason", Reason, {PRIVATE}),
        ("mask", MaskState, {"waiting"}),
        ("freshness", Freshness, set()),
    ],
)
def test_the_catalogue_has_exactly_the_values_of_the_agent(
    catalogue: Catalogue, section: str, kind: type[StrEnum], more: set[str]
) -> None:
    assert set(catalogue.sections[section]) == {member.value for member in kind} | more


def test_every_reason_and_hint_is_spoken(catalogue: Catalogue) -> None:
    for section, kind in (("reason", Reason), ("hint", Hint)):
        assert all(catalogue.spoken(section, member) in catalogue.prompts for member in kind)


def test_private_reasons_look_and_sound_the_same(catalogue: Catalogue) -> None:
    private = [reason for reason in Reason if catalogue.shown("reason", reason) == PRIVATE]
    assert private == sorted(BYSTANDERS_MUST_NOT_KNOW, key=list(Reason).index)
    assert {catalogue.spoken("reason", reason) for reason in private} == {"staff_will_help"}


def test_no_text_names_a_colour_a_result_or_a_list(catalogue: Catalogue) -> None:
    for language in LANGUAGES:
        for section in ("reason", "prompt", "verdict", "hint"):
            for key in catalogue.sections[section]:
                text = catalogue.text(section, key, language)
                assert not any(word in text for word in TELLING), text
                assert not set(text.lower().replace(".", "").split()) & set(TELLING_IN_ENGLISH), text


def test_columns_count_chinese_double() -> None:
    assert columns("请 wait。") == 2 + 1 + 4 + 2


GOOD = """
[languages]
"zh-CN" = "简体中文"
yue = "粵語"
en = "English"
[limits]
prompt = 8
reason = 8
[prompt]
wait = { zh-CN = "请稍候", yue = "請等等", en = "Wait" }
[reason]
private = { say = "wait", zh-CN = "请稍候", yue = "請等等", en = "Wait" }
secret = { private = true }
"""


def test_a_private_entry_is_shown_as_its_stand_in(tmp_path: Path) -> None:
    catalogue = load_catalogue(written(tmp_path, GOOD))
    assert catalogue.text("reason", "secret", "en") == "Wait"
    assert catalogue.spoken("reason", "secret") == "wait"


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (', en = "Wait" }\n[reason]', " }\n[reason]", "prompt.wait: en is missing"),
        (
            'wait = { zh-CN = "请稍候"',
            'wait = { zh-CN = "请您稍候一下"',
            "prompt.wait: zh-CN takes 12 columns, accepted: 1-8",
        ),
        ('wait = { zh-CN = "请稍候"', 'wait = { zh-CN = ""', "prompt.wait: zh-CN takes 0 columns"),
        ('wait = { zh-CN = "请稍候"', 'wait = { fr = "Un", zh-CN = "请稍候"', "prompt.wait: fr is not expected"),
        ('say = "wait"', 'say = "weit"', "reason.private: say = 'weit', expected a key of prompt"),
        ("private = true", 'private = true, en = "Red"', "reason.secret: en is not expected"),
        ("reason = 8", "raison = 8", "limits: has"),
        ("prompt = 8", "prompt = 0", "Expected `int` >= 1"),
        ('yue = "粵語"\n', "", "languages: has"),
        ("[reason]", "[reason", "line 11"),
    ],
)
def test_a_fault_is_reported_with_its_place(tmp_path: Path, old: str, new: str, fault: str) -> None:
    assert old in GOOD
    path = written(tmp_path, GOOD.replace(old, new))
    with pytest.raises(SettingsError) as refused:
        load_catalogue(path)
    assert fault in str(refused.value)
    assert str(path) in str(refused.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.toml"):
        load_catalogue(tmp_path / "none.toml")


def written(folder: Path, text: str) -> Path:
    path = folder / "catalogue.toml"
    path.write_text(text, encoding="utf-8")
    return path
