"""What can be wrong with a calibration."""


class BadCalibration(Exception):
    """What was measured, seen or touched cannot be right; says why and what to do, in Chinese and English."""

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(f"{zh} {en}")
        self.zh = zh
        self.en = en
