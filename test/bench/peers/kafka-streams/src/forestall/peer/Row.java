package forestall.peer;

/** One output row: a key, its window and what was kept. */
record Row(byte[] key, long startMs, long endMs, Totals totals) {}
