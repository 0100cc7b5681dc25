"""What a method, its settings and what it prepares must be."""
