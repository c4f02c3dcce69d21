"""Errors of devices, classified by what the caller can do."""


class DriverError(Exception):
    """Base of all device errors."""


class DeviceLost(DriverError):
    """The device is disconnected or does not answer; the driver is reopening it. Try later."""


class DeviceRefused(DriverError):
    """The device rejected the command; a retry cannot help."""


class BadSetting(DriverError):
    """The setting cannot be used (no such port, driver or format); the configuration must change."""
