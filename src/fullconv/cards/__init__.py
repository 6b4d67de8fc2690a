"""Model cards: all that a run needs to know of a network, in a file beside it or in one that it travels with."""
