"""The one road from an image to a result."""
