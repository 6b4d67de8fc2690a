"""The version, in one place."""

__version__ = "0.1.0"

# How scores follow from a network, an image and options. It grows with every change after which the same request gives other
# scores than before (beyond the engine's rounding), and with nothing else: a result is gone on with, or taken as finished, across
# versions of the package and only within one of these. 1: stores of 0.1.0 that say nothing of it. 2: one contract for all images. 3: what
# is missing is counted over whole crops in tiles too. 4: premultiplied colours of GeoTIFFs are laid over white as that.
NUMERICS = 4
