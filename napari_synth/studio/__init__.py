"""Trains on the user's images and files the model away."""
