"""Seeded, reproducible, labelled card traffic in simulated time: who spends where, and who steals how."""

from loadtest.traffic.labels import Labelled
from loadtest.traffic.stream import Traffic

__all__ = ["Labelled", "Traffic"]
