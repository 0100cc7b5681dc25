"""The methods: a folder a task, each with a catalogue that declares them."""
