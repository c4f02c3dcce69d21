"""Finds pixels of a thermal array that do not measure, and replaces their values by those of their neighbours.

Makers deliver arrays with up to four such pixels (Melexis data sheet of the MLX90640; other makers likewise, R).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from drivers.contract import DeadPixel, PixelFault, ThermalFrame
from drivers.serial_line.framing import NoReading

Pixels = NDArray[np.float32]
Mask = NDArray[np.bool_]

MOST_DEAD = 4  # out of range or stuck; with more the array must not be used
WINDOW_FRAMES = 24  # 6 s at 4 Hz; what was found is valid until the end of the next window
CHANGING_SHARE = 0.75  # of the frames in which the median pixel must change, else no pixel is found stuck
STEP_CAP_C = 0.2  # a change counts with at most this, so that people who move do not outweigh the noise
STUCK_SHARE = 0.1  # of the changes of the median pixel; noise of healthy pixels differs by much less
OUTLIER_C = 10.0  # further from every neighbour than optics can show: skin over a pixel warms its neighbours too
OUTLIER_SHARE = 0.9  # of the frames; such a pixel can also be a small lamp


def too_many(left_out: tuple[DeadPixel, ...]) -> bool:
    """Whether the array has more dead pixels than makers allow; an outlier can be a lamp and does not count."""
    return sum(pixel.fault is not PixelFault.OUTLIER for pixel in left_out) > MOST_DEAD


def describe(left_out: tuple[DeadPixel, ...], most: int = 8) -> str:
    """The pixels that are left out as a phrase for staff; rows and columns count from 1 at the upper left."""
    named = [f"row {pixel.row + 1} column {pixel.col + 1} {pixel.fault.value}" for pixel in left_out[:most]]
    more = [f"and {len(left_out) - most} more"] if len(left_out) > most else []
    return f"{len(left_out)} {'pixel' if len(left_out) == 1 else 'pixels'} left out: {', '.join([*named, *more])}"


class DeadPixelFilter:
    """Learns from the frames of one array in the order of their arrival.

    A value out of range is noticed in its frame. A pixel is stuck if it changes far less than the median pixel over a
    window, an outlier if it differs from all its neighbours in nearly all frames of a window.
    """

    def __init__(self, rows: int, cols: int, range_c: tuple[float, float]) -> None:
        shape = rows, cols
        self._range_c = range_c
        self._learned: dict[PixelFault, Mask] = {fault: np.zeros(shape, np.bool_) for fault in PixelFault}
        self._before: Pixels | None = None
        self._start_window(shape)

    def frame(self, measured_c: Pixels, ambient_c: float, at_s: float) -> ThermalFrame | NoReading:
        """The frame with its dead pixels replaced; REFUSED where most pixels are out of range, as in a wrong format."""
        low, high = self._range_c
        pixels_c = np.where((measured_c >= low) & (measured_c <= high), measured_c, np.float32(np.nan))
        if 2 * int(np.isnan(pixels_c).sum()) > pixels_c.size:
            return NoReading.REFUSED
        self._note(pixels_c)
        left_out = self._left_out(np.isnan(pixels_c))
        if self._frames == WINDOW_FRAMES:
            self._judge(pixels_c.shape)
        return ThermalFrame(_filled(pixels_c, left_out) if left_out else pixels_c, ambient_c, at_s, left_out)

    def _left_out(self, out_of_range_now: Mask) -> tuple[DeadPixel, ...]:
        faults: dict[tuple[int, int], PixelFault] = {}
        for fault in PixelFault:
            mask = self._learned[fault]
            if fault is PixelFault.OUT_OF_RANGE:
                mask = mask | out_of_range_now
            faults.update(((row, col), fault) for row, col in np.argwhere(mask).tolist())
        return tuple(DeadPixel(row, col, fault) for (row, col), fault in sorted(faults.items()))

    def _start_window(self, shape: tuple[int, ...]) -> None:
        self._frames = 0
        self._out_of_range_frames = np.zeros(shape, np.int32)
        self._outlier_frames = np.zeros(shape, np.int32)
        self._changed_frames = np.zeros(shape, np.int32)
        self._change_c = np.zeros(shape, np.float32)

    def _note(self, pixels_c: Pixels) -> None:
        self._frames += 1
        self._out_of_range_frames += np.isnan(pixels_c)
        self._outlier_frames += _outliers(pixels_c)
        if self._before is not None:
            step_c = np.nan_to_num(np.abs(pixels_c - self._before))
            self._changed_frames += step_c > 0
            self._change_c += np.minimum(step_c, np.float32(STEP_CAP_C))
        self._before = pixels_c

    def _judge(self, shape: tuple[int, ...]) -> None:
        """Replace what was learned in the window before. Whether pixels are stuck stays open while few change."""
        self._learned[PixelFault.OUT_OF_RANGE] = self._out_of_range_frames > 1  # one can be a damaged frame
        self._learned[PixelFault.OUTLIER] = self._outlier_frames >= OUTLIER_SHARE * self._frames
        if np.median(self._changed_frames) >= CHANGING_SHARE * (self._frames - 1):
            self._learned[PixelFault.STUCK] = self._change_c < STUCK_SHARE * np.median(self._change_c)
        self._start_window(shape)


def _neighbours(pixels_c: Pixels) -> NDArray[np.float32]:
    """The eight neighbours of every pixel, (8, rows, cols); NaN outside the array."""
    rows, cols = pixels_c.shape
    framed = np.pad(pixels_c, 1, constant_values=np.nan)
    places = [(down, right) for down in range(3) for right in range(3) if (down, right) != (1, 1)]
    return np.stack([framed[down : down + rows, right : right + cols] for down, right in places])


def _outliers(pixels_c: Pixels) -> Mask:
    around_c = _neighbours(pixels_c)
    far: Mask = (pixels_c > np.fmax.reduce(around_c) + OUTLIER_C) | (pixels_c < np.fmin.reduce(around_c) - OUTLIER_C)
    return far


def _filled(pixels_c: Pixels, left_out: tuple[DeadPixel, ...]) -> Pixels:
    """The dead pixels replaced by the median of the measuring pixels around them: never warmer than all of these."""
    bare = pixels_c.copy()
    for pixel in left_out:
        bare[pixel.row, pixel.col] = np.nan
    filled = np.where(np.isnan(bare), np.nanmedian(pixels_c), bare)
    if not too_many(left_out):  # else the array is not used
        for pixel in left_out:
            filled[pixel.row, pixel.col] = _median_around(bare, pixel.row, pixel.col)
    return filled


def _median_around(bare: Pixels, row: int, col: int) -> float:
    """The median of the nearest measuring pixels."""
    around = (
        bare[max(0, row - reach) : row + reach + 1, max(0, col - reach) : col + reach + 1]
        for reach in range(1, max(bare.shape))
    )
    return float(np.nanmedian(next(part for part in around if not np.isnan(part).all())))
