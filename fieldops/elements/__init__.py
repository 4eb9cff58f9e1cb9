"""What stands and who lives in the cells, as field workers keep it; whose street a place is on."""
