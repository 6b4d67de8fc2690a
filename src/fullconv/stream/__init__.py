"""Maps of images that do not fit in memory: tile by tile, read, run and written side by side."""
