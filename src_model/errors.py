"""Named exceptions; the message of each is one clear sentence that a user can act on."""

from __future__ import annotations


class UTANetError(Exception):
    """Base of every error that is the user's to mend: what was wrong, the value, and the remedy."""


class ConfigError(UTANetError):
    """A setting is unknown, of the wrong type, or out of its bounds."""


class DataError(UTANetError):
    """A file or folder of images and masks cannot be used; the message names the file."""


class ImageError(UTANetError):
    """An image in memory cannot be segmented: wrong shape, channels, type or content."""


class ModelError(UTANetError):
    """An architecture or one of its options does not exist, or does not fit the input."""


class CheckpointError(UTANetError):
    """A checkpoint is missing, truncated, unsafe, newer than this version, or of another network."""


class DownloadError(UTANetError):
    """A file could not be fetched, or is not the one that was asked for; names address and path."""


class DeviceError(UTANetError):
    """The requested device or precision is not available on this machine."""


class OutputError(UTANetError):
    """A result could not be written; the message names the path."""


class NonFiniteLossError(UTANetError):
    """The training loss became NaN or infinite; the last good checkpoint is kept."""


class Stopped(UTANetError):
    """The control token asked for a stop; raised at the next safe point between two steps."""
