"""From an image in memory to a class map: which way, at which sizes, and what is read off it."""
