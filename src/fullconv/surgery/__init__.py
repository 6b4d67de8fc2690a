"""Casting as a plan: pure rules from a Graph to small edits and the graph that must come out."""
