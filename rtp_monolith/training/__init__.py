"""Models of sessions: read, train, judge, export. The only room that knows torch; a serving install has none of it."""
