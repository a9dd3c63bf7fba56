"""What src.report is made of: runs read from their folders, compared, drawn, and put on a page. Reads files only."""
