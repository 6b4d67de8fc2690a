"""What an image may lead to beside itself, and which of several images in one file is meant."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Access:
    """What whoever opens an image allows.

    Attributes:
        trust: a mosaic (VRT) may name files outside its folder, and compute bands by functions that GDAL has built in.
        remote: a mosaic may name files on other machines.
        subdataset: which image of a file of several (HDF5, NetCDF, ...).
    """

    trust: bool = False
    remote: bool = False
    subdataset: str | None = None


NONE = Access()
