"""How fast images are read, window by window, as a map reads them."""
