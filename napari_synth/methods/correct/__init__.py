"""Methods that correct what the microscope did."""
