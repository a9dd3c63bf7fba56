"""The report on runs: read from their folders, grouped, charted, and written as one page. Reads files only."""
