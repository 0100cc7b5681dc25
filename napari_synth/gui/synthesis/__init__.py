"""The panel that makes new images."""
