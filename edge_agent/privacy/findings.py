"""Personal data found where it must not be: kind and position, never the data itself."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class PersonalDataKind(StrEnum):
    """What must not be stored unencrypted on a box."""

    ID_NUMBER = "id_number"
    OLD_ID_NUMBER = "old_id_number"  # 15 digits, issued before 1999; reported only after words such as "ID card"
    PHONE_NUMBER = "phone_number"
    PASSPORT = "passport"
    PERMIT = "permit"  # to travel or to reside
    FACE = "face"


_NAMES = {
    PersonalDataKind.ID_NUMBER: ("身份证号码", "an ID number"),
    PersonalDataKind.OLD_ID_NUMBER: ("旧版身份证号码", "an ID number of the old form"),
    PersonalDataKind.PHONE_NUMBER: ("手机号码", "a mobile number"),
    PersonalDataKind.PASSPORT: ("护照号码", "a passport number"),
    PersonalDataKind.PERMIT: ("通行证或居留证号码", "the number of a travel or residence permit"),
    PersonalDataKind.FACE: ("人脸图像", "a picture of a face"),
}


# What the scan does not recognise, for its report.
LIMITS = (
    "不能发现：加密或以其他方式压缩的数据，图像或声音中的文字，跨文件拆分的号码，与其他数字相连的手机号码，"
    "姓名和地址，不带名称的外国护照号码，SQLite 空闲页中的整数。",
    "Not recognised: encrypted data and other compression (zstd, 7z, LZ4), text in pictures or sound, numbers split"
    " over fields or written in words, mobile numbers inside longer numbers, names and addresses, passport numbers of"
    " other countries without the word, integers in binary formats other than SQLite and in its free pages.",
)


@dataclass(frozen=True, slots=True)
class PersonalDataMatch:
    """A match in a block of bytes; `offset` is its first byte."""

    kind: PersonalDataKind
    offset: int


@dataclass(frozen=True, slots=True)
class Finding:
    """A match in a file or journal named by `place`; `offset` is its first byte there."""

    kind: PersonalDataKind
    place: str
    offset: int

    def line(self) -> str:
        """The finding as one line of text."""
        chinese, english = _NAMES[self.kind]
        return f"✗ {self.place} 第 {self.offset} 字节：发现{chinese}。 At byte {self.offset}: {english}."

    def to_dict(self) -> dict[str, object]:
        """The finding for JSON."""
        return {"kind": self.kind.value, "place": self.place, "offset": self.offset}
