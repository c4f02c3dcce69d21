"""Errors of a calibration."""


class BadCalibration(Exception):
    """A measurement, picture or touch is unusable; the message says why and what to do, in Chinese and English."""

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(f"{zh} {en}")
        self.zh = zh
        self.en = en
