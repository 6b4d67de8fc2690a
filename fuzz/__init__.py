"""Fuzzers: random and damaged inputs for every reader, and random networks for the cast."""
