"""Pictures in, faces and mask states out."""

import os

# onnxruntime 1.32 keeps a device id in the home folder and is built to report, unless told not to before its import.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
