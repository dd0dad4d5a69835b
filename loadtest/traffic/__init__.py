"""Seeded, reproducible, labelled card traffic in simulated time: who spends where, and who steals how."""

from loadtest.traffic.stream import Labelled, Traffic

__all__ = ["Labelled", "Traffic"]
