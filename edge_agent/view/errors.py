"""What can be wrong with an alignment of camera and thermometer."""


class BadView(Exception):
    """What was touched or seen cannot be right; says why and what to do, in Chinese and English."""

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(f"{zh} {en}")
        self.zh = zh
        self.en = en
