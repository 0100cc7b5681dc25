"""The built-in generators: one folder a task, one module a generator."""
