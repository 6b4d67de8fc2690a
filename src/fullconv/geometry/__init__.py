"""Pixels and cells: lengths, receptive fields and grids, in exact arithmetic. No framework, no weights."""
