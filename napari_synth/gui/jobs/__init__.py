"""What runs in a worker thread: functions that know neither Qt nor a viewer, and the job that runs them."""
