"""A look at runs, as pictures on one page: what their folders hold (folder), the rows of the test part (rows), the
drawing (pictures, svg), the page of one run (single), that of several (several), and what pages are made of (page)."""
