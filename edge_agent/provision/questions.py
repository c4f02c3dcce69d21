"""The questions of `edge-agent provision`: each answer is checked when it is given, and asked again in place.

A draft of the answers is kept beside the settings until the box is set up, without the token and the PIN.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from config.errors import SettingsError
from edge_agent.provision.answers import Answers
from edge_agent.provision.provisioning import (
    answered_sections,
    check_serial,
    load_community_key,
    load_signing_key,
)
from edge_agent.provision.settings_file import checked_settings, merged, read_sections
from sync.contract.enrolment import Invitation
from sync.errors import UnsafeLink
from sync.mqtt.broker_address import BrokerAddress
from sync.storage.atomic_files import replace_whole


@dataclass(frozen=True, slots=True)
class Question:
    """A question for the answer `key`; a secret one is typed unseen where it is short, and is not in the draft."""

    key: str
    text: str
    is_secret: bool = False
    is_hidden: bool = False


CHECKPOINT = Question("checkpoint", "卡口名称 Name of the checkpoint")
PLACE = (
    CHECKPOINT,
    Question("lane", "通道 Lane"),
    Question("direction", "方向 Direction (in/out)"),
    Question("language", "语言 Language (zh-CN/yue/en)"),
    Question("platform_url", "平台地址 Platform, mqtts://HOST:PORT（空=不变 empty: unchanged）"),
)
SHEET = Question(
    "invitation",
    "登记单：扫描二维码，或在此粘贴其内容；空=保留现有证书。\n"
    "Enrolment sheet: scan its code or paste its text; empty: keep the certificate",
    is_secret=True,
)
LABEL = Question("serial", "机身标签上的序列号（空=换一张登记单） Serial number on the label (empty: another sheet)")
KEYS = (
    Question("community_key", "社区密钥文件 File of the community key（空=不变 empty: unchanged）"),
    Question("signing_key", "平台签名公钥文件 File of the signing key（空=不变 empty: unchanged）"),
    Question(
        "staff_pin", "工作人员 PIN，6-12 位（空=不变） Staff PIN (empty: unchanged)", is_secret=True, is_hidden=True
    ),
)

Ask = Callable[[Question, str], str]
"""Puts a question with the answer that is offered; returns the answer."""

Tell = Callable[[str], None]
"""Shows one message."""


class Interview:
    """Asks for the answers of one box. Raises SettingsError where the settings or the draft cannot be used."""

    def __init__(self, config: Path, serial: str, ask: Ask, tell: Tell) -> None:
        """`serial` is the serial number that the box reports."""
        self._config = config
        self._serial = serial
        self._ask = ask
        self._tell = tell
        self._draft = draft_path(config)
        self._sections = read_sections(config)
        self._answers: dict[str, str] = {}

    def answers(self) -> dict[str, str]:
        """All answers, each checked. Whatever ends it, the draft has what was answered before."""
        offered = self._offered()
        for question in PLACE:
            self._put(question, offered.get(question.key, ""))
        self._put_sheet()
        for question in KEYS:
            self._put(question, offered.get(question.key, ""))
        return dict(self._answers)

    def _offered(self) -> dict[str, str]:
        """What is offered: the draft, else the present settings, else the defaults; no name for a new checkpoint."""
        settings = checked_settings(self._sections)
        box = settings.box
        present = {"lane": box.lane, "direction": box.direction, "language": settings.speaker.language}
        if self._config.exists():
            present["checkpoint"] = box.checkpoint
        drafted = _read_draft(self._draft)
        if drafted:
            self._tell(
                f"上次没有完成；方括号里是上次的回答（{self._draft}），口令和 PIN 请重新输入。\n"
                "The last run was not completed: its answers are offered in brackets. Give token and PIN again."
            )
        return present | drafted

    def _put(self, question: Question, offered: str) -> None:
        """Ask until the answer is accepted."""
        while True:
            answer = self._ask(question, offered).strip()
            try:
                self._check(question.key, answer)
            except SettingsError as exc:
                self._refuse(exc)
            else:
                self._accept(question, answer)
                return

    def _put_sheet(self) -> None:
        """Ask for the enrolment sheet, and for the label if the sheet is not for the number that the box reports."""
        while True:
            self._put(SHEET, "")
            if not self._answers[SHEET.key]:
                return
            invitation = Invitation.parse(self._answers[SHEET.key])
            if invitation.serial == self._serial:
                return
            self._put(LABEL, "")
            try:
                check_serial(invitation, self._answers[LABEL.key] or self._serial)
            except SettingsError as exc:
                self._refuse(exc)
            else:
                return

    def _check(self, key: str, answer: str) -> None:
        """Raises SettingsError for an answer that the set-up would refuse, given the ones before it."""
        values = {CHECKPOINT.key: "-"} | self._answers | {key: answer}
        try:
            answers = msgspec.convert(values, Answers, strict=True)
        except msgspec.ValidationError as exc:
            raise SettingsError(str(exc).partition(" - at ")[0]) from exc
        checked_settings(merged(self._sections, answered_sections(answers, self._config)))
        if key == "platform_url" and answer:
            _check_address(answer)
        load_community_key(answers)
        load_signing_key(answers)

    def _refuse(self, exc: SettingsError) -> None:
        self._tell(f"✗ {exc}\n  请重新回答。 Please answer again.")

    def _accept(self, question: Question, answer: str) -> None:
        self._answers[question.key] = answer
        if not question.is_secret:
            drafted = {key: value for key, value in self._answers.items() if key not in _SECRETS}
            try:
                replace_whole(self._draft, json.dumps(drafted, ensure_ascii=False, indent=2).encode())
            except OSError as exc:
                raise SettingsError(f"{self._draft}: 无法写入 cannot be written: {exc.strerror}") from exc


_SECRETS = {question.key for question in (*PLACE, SHEET, LABEL, *KEYS) if question.is_secret}


def draft_path(config: Path) -> Path:
    """The draft of the answers for the settings at `config`."""
    return config.with_name(f"{config.stem}.draft.json")


def _read_draft(path: Path) -> dict[str, str]:
    """The draft; {} if there is none or it cannot be read, since every answer is asked for again."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except (OSError, msgspec.DecodeError):
        return {}


def _check_address(url: str) -> None:
    try:
        BrokerAddress.from_url(url)
    except UnsafeLink as exc:
        raise SettingsError(str(exc)) from exc
