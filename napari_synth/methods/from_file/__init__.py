"""Methods that are made of model files, of the user's library or for one session."""
