"""Images of any size and kind, read window by window."""
