"""Passwords are hidden wherever they stand; what helps support stays."""

from __future__ import annotations

import json
import logging
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.redaction import HIDDEN, RedactingFormatter, printable, redact, redact_value

SECRET = "zq9Xw7"  # noqa: S105 - planted

LEAKS = [
    "rtsp://h/user=a&password={0}",
    "rtsp://10.0.0.9:554/user=admin_password={0}_channel=1_stream=0.sdp?real_stream",
    "rtsp://10.0.0.9/cam/realmonitor?channel=1&subtype=0&usr=a&pwd={0}",
    "http://10.0.0.9/snapshot.cgi;pwd={0}",
    "http://10.0.0.9/live/admin/{0}/ch1",
    "http://10.0.0.9/video#{0}",
    "rtsp://admin:{0}@10.0.0.9/live",
    "rtsp://admin:a/{0}@10.0.0.9/live",
    "rtsp://admin:a@{0}@10.0.0.9/live",
    "rtsp://admin:{0}/a@10.0.0.9/live",
    "rtsp://admin:1/{0} b@10.0.0.9/live",
    "rtsp://admin:a {0} b@10.0.0.9/live",
    'rtsp://admin:a"{0}@10.0.0.9/live',
    "rtsp://admin:a'{0}@10.0.0.9/live",
    "rtsp://10.0.0.9/user=admin&password=a {0}",
    "RTSP://admin:{0}@10.0.0.9",
    "rtsp%3A%2F%2Fadmin%3A{0}%4010.0.0.9",
    r"rtsp:\/\/admin:{0}@10.0.0.9\/live",
    "admin:{0}@10.0.0.9/live",
    "camera_password={0}",
    "login: user=a; passwd = {0}",
    "'pwd': '{0}'",
    '{{"psw": "a {0}", "n": 1}}',
    '{{\\"secret\\": \\"{0}\\"}}',
    "curl --user-password {0}",
    "Authorization: Basic {0}",
    "密码：{0}",
]


@pytest.mark.parametrize("line", LEAKS)
@pytest.mark.parametrize("around", ["{}", "camera is lost: {}: cannot be opened", "source = '{}'", "source={}, fps=15"])
def test_a_password_is_hidden_wherever_it_stands(line: str, around: str) -> None:
    assert SECRET not in redact(around.format(line.format(SECRET)))


@given(
    password=st.text(st.characters(exclude_characters="\r\n", exclude_categories=("Cs", "Cc", "Zl", "Zp")), min_size=1),
    path=st.sampled_from(["", "/live", "/live?x=1", "/user=a&b=c"]),
)
def test_no_password_before_a_host_is_shown(password: str, path: str) -> None:
    shown = redact(f"camera rtsp://admin:≺{password}≻@10.0.0.9:554{path}")
    assert shown.startswith("camera rtsp://***")
    assert not {"≺", "≻"} & set(shown)


@given(secret=st.text(st.characters(codec="ascii", exclude_categories=("Cc",)), min_size=4))
def test_an_address_in_the_settings_is_one_to_its_end(secret: str) -> None:
    for source in (f"rtsp://h/{secret}", f"rtsp://a:{secret}@h/x", f"http://h/?{quote(secret)}"):
        shown = redact_value({"camera": {"source": source}})["camera"]["source"]
        assert shown in (f"rtsp://h/{HIDDEN}", f"http://h/{HIDDEN}", f"rtsp://{HIDDEN}@h/{HIDDEN}", f"rtsp://{HIDDEN}")


@pytest.mark.parametrize(
    "line",
    [
        "mqtts://platform.example:8883: connected",
        "cannot reach mqtts://[::1]:8883, later.",
        'port = "usb:1a86:7523:A1", usb@1-1.2, edge-agent@1.service',
        "[directory] community_key_file = 'credential:community.key': expected 64 hex digits",
        "口令不对：请核对口令单。 The token is unknown: check the enrolment sheet.",
        "the author of the passage: 3 passages, 12:30:01",
        "The peer does not accept our certificate: basic constraints are missing",
    ],
)
def test_what_is_no_password_stays(line: str) -> None:
    assert redact(line) == line


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("rtsp://admin:1234@10.0.0.9:554/live: lost", "rtsp://***@10.0.0.9:554/***: lost"),
        ("rtsp://admin:86420/a@10.0.0.9/live", "rtsp://***"),
        ("rtsp://admin:86420/a b@10.0.0.9/live", "rtsp://***"),
        ("rtsp://a@86420@10.0.0.9/live", "rtsp://***"),
        ("a mqtts://b:1 rtsp://u:p@h/x y", "a mqtts://b:1 rtsp://***@h/*** y"),
        ("one=1\nrtsp://u:p@h\npwd=3\nfour=4\n", "one=1\nrtsp://***@h\npwd=***\nfour=4\n"),
    ],
)
def test_host_port_and_the_other_words_stay(line: str, shown: str) -> None:
    assert redact(line) == shown


def test_values_are_redacted_by_their_keys_too() -> None:
    given_value = {"password": SECRET, "camera_pwd": 12, "staff_pin": 123456, "a": [True, None, 1.5, f"pwd={SECRET}"]}
    assert redact_value(given_value) == {
        "password": HIDDEN,
        "camera_pwd": HIDDEN,
        "staff_pin": HIDDEN,
        "a": [True, None, 1.5, f"pwd={HIDDEN}"],
    }


def test_a_log_line_and_its_traceback_are_redacted() -> None:
    with pytest.raises(ValueError, match="rtsp") as caught:
        int(f"rtsp://a:{SECRET}@h")
    error = (type(caught.value), caught.value, caught.tb)
    record = logging.LogRecord("n", logging.ERROR, "p", 1, "at %s", (f"rtsp://a:{SECRET}@h",), error)
    shown = RedactingFormatter("%(message)s").format(record)
    assert SECRET not in shown
    assert "rtsp://***@h" in shown


CONTROLS = ["\n", "\r", "\x1b[2J", "\x9b1A", "\x7f", "\u202e", "\u2028", "\x00", "\U000e0001"]


@pytest.mark.parametrize("control", CONTROLS)
def test_a_log_line_stays_one_line_whatever_a_box_sent(control: str) -> None:
    record = logging.LogRecord("n", logging.WARNING, "p", 1, "refused: %s", (f"a{control}ERROR forged",), None)
    shown = RedactingFormatter("%(message)s").format(record)
    assert shown.isprintable()
    assert json.loads(f'"{shown}"') == f"refused: a{control}ERROR forged"


def test_a_traceback_keeps_its_lines_and_nothing_else() -> None:
    with pytest.raises(ValueError, match="invalid literal") as caught:
        int("\x1b[2J\x9b")
    error = (type(caught.value), ValueError("a\x1b[2J\rb"), caught.tb)
    lines = RedactingFormatter("%(message)s").format(logging.LogRecord("n", 40, "p", 1, "m", (), error)).split("\n")
    assert len(lines) > 2
    assert all(line.isprintable() for line in lines)


@given(st.text(alphabet=st.characters()))
def test_what_is_printed_in_json_is_still_the_same_text(text: str) -> None:
    shown = printable(json.dumps(text, ensure_ascii=False))
    assert shown.isprintable()
    assert json.loads(shown) == text
