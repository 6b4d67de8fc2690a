"""Finer maps: dilated windows in one run against one run a shift of the image, and against what arithmetic gives."""
