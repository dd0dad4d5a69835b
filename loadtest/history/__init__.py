"""Months of labelled card traffic in files, for training and analysis."""

from loadtest.history.errors import HistoryError
from loadtest.history.order import Order
from loadtest.history.writing import write

__all__ = ["HistoryError", "Order", "write"]
