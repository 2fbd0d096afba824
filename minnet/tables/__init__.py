"""A user's own file as columns: CSV and TSV (also gzip), npz, a folder with X.npy and y.npy, svmlight.

cells.py      what a cell of a text file holds, and how a message shows it
table.py      the columns of a file, whatever its format
stream.py     the bytes of a file, counted and unpacked
text.py       CSV, TSV and the like
arrays.py     X.npy and y.npy
svmlight.py   svmlight and libsvm
formats.py    which of these a file is
"""
