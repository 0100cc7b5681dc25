"""What an image is, and what can be measured on it."""
