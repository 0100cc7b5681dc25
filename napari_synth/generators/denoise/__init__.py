"""Generators that remove noise. The public modules declare and import nothing heavy; private ones beside them compute."""
