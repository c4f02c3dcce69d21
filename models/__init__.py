"""Vision models: pictures in, faces and mask states out."""

import os

# Before its import: onnxruntime 1.32 otherwise stores a device id in the home folder and enables telemetry.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
