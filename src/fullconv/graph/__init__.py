"""The network as casting sees it: axis expressions, nodes and their touches, and what a valid graph is."""
