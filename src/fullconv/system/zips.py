"""What Python raises over a damaged archive, be it at its directory, at a member's name or in its data."""

import struct
import zipfile
import zlib

DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    OSError,
    EOFError,
    RuntimeError,  # encrypted; NotImplementedError: a version or a packing that is not known
    ValueError,  # a place before the file's beginning; UnicodeDecodeError
    IndexError,
    KeyError,
)
