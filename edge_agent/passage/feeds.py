"""Passes what camera, thermometer and distance sensor measure to the tracker: one small loop for each."""

from __future__ import annotations

from drivers.contract import Ranger, Thermometer
from edge_agent.measurement.face_detection import FaceDetectionLoop
from edge_agent.passage.person_tracker import PersonTracker


async def feed_detections(face_detection: FaceDetectionLoop, tracker: PersonTracker) -> None:
    """Pass the faces of every picture to the tracker until cancelled."""
    sequence = 0
    while True:
        sequence, seen = await face_detection.detections.after(sequence)
        tracker.add_detections(seen)


async def feed_readings(thermometer: Thermometer, tracker: PersonTracker) -> None:
    """Pass every thermometer reading to the tracker until cancelled."""
    sequence = 0
    while True:
        sequence, reading = await thermometer.readings.after(sequence)
        tracker.add_reading(reading)


async def feed_distances(ranger: Ranger, tracker: PersonTracker) -> None:
    """Pass every reading of the distance sensor to the tracker until cancelled."""
    sequence = 0
    while True:
        sequence, reading = await ranger.readings.after(sequence)
        tracker.add_distance(reading)
