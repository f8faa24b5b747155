"""What people and programs read of a fleet. Never writes."""
