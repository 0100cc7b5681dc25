"""Prediction of frames learnt from time-lapses."""
