"""The commands, one file per group; imports everything, imported by nobody."""
