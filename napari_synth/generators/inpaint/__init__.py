"""Generators that fill what a mask marks. The public modules declare and import nothing heavy; private ones beside them compute."""
