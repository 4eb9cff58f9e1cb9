"""What people, and the system, do with a case: one file for each desk, person or subject."""
