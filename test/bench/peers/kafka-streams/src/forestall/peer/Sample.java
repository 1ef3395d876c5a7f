package forestall.peer;

/** What the windows need of one record. */
record Sample(long timeMs, double value) {}
