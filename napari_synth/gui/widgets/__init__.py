"""The parts that panels are put together from."""
