"""What comes in from outside before it is an event: files, their columns, and what was refused."""
