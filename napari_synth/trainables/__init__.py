"""What can be trained in the studio, one folder a task, one module a trainable. Declaring them loads no torch."""
