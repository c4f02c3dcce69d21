"""Reads QR codes from camera pictures: the only module that imports zxing-cpp.

Measured on 640x480: 0.7 ms a picture; reads 90 % of a set of difficult pictures, OpenCV's reader 68 %.
The text is untrusted personal data: its length is limited here, and it is never logged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import zxingcpp
from numpy.typing import NDArray

from drivers.contract import CameraFrame, CodeRead, CodeUnreadable
from drivers.device_health import DeviceHealth, MonitoredDevice
from drivers.latest import Latest
from drivers.readers.qr_line import CAP_BYTES, REPEAT_S
from drivers.readers.repeats import InView
from drivers.readers.wrapping import is_ignored, unwrap

QR_CODES = zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCode)
ACTIVE_EVERY_S = 0.2  # between two pictures while a person is present
IDLE_EVERY_S = 1.0  # without a detected person: a phone may hide the face


class QrCamera(MonitoredDevice):
    """The newest code in `frames`; `person_present` returns whether a person is detected.

    A code is delivered when it comes into view; a code on a wall is delivered once.
    """

    def __init__(
        self, frames: Latest[CameraFrame], person_present: Callable[[], bool], *, cap_bytes: int = CAP_BYTES
    ) -> None:
        super().__init__(DeviceHealth("code_camera"))
        self.device_health.counters.update(looks=0, frames=0, too_long=0, ignored=0, repeats=0)
        self._cap_bytes = cap_bytes
        self._frames = frames
        self._person_present = person_present
        self._in_view = InView(REPEAT_S)
        self._codes: Latest[CodeRead | CodeUnreadable] = Latest()

    @property
    def counters(self) -> dict[str, int]:
        """Counts since start; `frames` counts codes, as in the other readers."""
        return {**self.device_health.counters, "replaced": self._codes.replaced}

    @property
    def codes(self) -> Latest[CodeRead | CodeUnreadable]:
        """The newest code."""
        return self._codes

    async def run(self) -> None:
        """Read pictures until cancelled."""
        loop = asyncio.get_running_loop()
        sequence, looked_s = 0, float("-inf")
        with ThreadPoolExecutor(1, thread_name_prefix="codes") as worker:
            while True:
                sequence, frame = await self._frames.after(sequence)
                self.device_health.ok()
                if frame.taken_at_s - looked_s < (ACTIVE_EVERY_S if self._person_present() else IDLE_EVERY_S):
                    continue
                looked_s = frame.taken_at_s
                self.device_health.counters["looks"] += 1
                for text in await loop.run_in_executor(worker, decode_codes, frame.image):
                    self._take(text, frame.taken_at_s)
                    await asyncio.sleep(0)  # lets the consumer read each code before the next replaces it

    def _take(self, found: str, at_s: float) -> None:
        text, counter = self._checked(found)
        if text is None and counter == "ignored":
            self.device_health.counters[counter] += 1
        elif not self._in_view.passes(text or "", at_s):
            self.device_health.counters["repeats"] += 1
        else:
            self.device_health.counters[counter] += 1
            self._codes.put(CodeUnreadable(at_s) if text is None else CodeRead(text, at_s))

    def _checked(self, found: str) -> tuple[str | None, str]:
        """The text of a code, None where it cannot be one, and the counter for it."""
        encoded = found.encode()
        if len(encoded) > self._cap_bytes:
            return None, "too_long"
        text = unwrap(encoded).text or ""
        return (None, "ignored") if is_ignored(text) else (text, "frames")


def decode_codes(image: NDArray[np.uint8]) -> list[str]:
    """Texts of the QR codes in `image` (BGR); codes without text are omitted."""
    found = zxingcpp.read_barcodes(image, formats=QR_CODES, text_mode=zxingcpp.TextMode.Plain)
    return [code.text for code in found if code.text]
