"""Runs as figures and tables on one page: saved runs -> evaluation -> figures -> page.

Import the rooms from here, as in `from minnet.report import page`; they need matplotlib.
"""
