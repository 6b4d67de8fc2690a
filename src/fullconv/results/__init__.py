"""Maps on disk: a Zarr store of (classes, rows, cols) that is written tile by tile and read piece by piece."""
