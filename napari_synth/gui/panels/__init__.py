"""The panels: one base for every task, and what each task adds to it."""
