"""Cutting an image into tiles whose maps join exactly. Pure arithmetic: no pixel, no weight, no framework."""
