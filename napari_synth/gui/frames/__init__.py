"""The panel that invents frames of a time-lapse."""
