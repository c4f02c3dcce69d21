"""What can go wrong with a device, by what the caller may do about it."""


class DriverError(Exception):
    """Base of every error of a device."""


class DeviceLost(DriverError):
    """The device is gone or does not answer; it is being reopened: try later."""


class DeviceRefused(DriverError):
    """The device answered that it will not; trying again changes nothing."""


class BadSetting(DriverError):
    """The setting cannot be used (no such port, driver or format); somebody must change it."""
