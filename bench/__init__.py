"""Measurements, each a ratio to a floor taken in the same run: absolute times on shared machines mean little."""
