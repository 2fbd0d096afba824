"""For who studies backprop: one step printed, the gallery of mistakes, gradient checks, graded exercises.

What each file holds:

    subject.py    the net and the row that are studied
    step.py       every number of one step of it
    mistakes.py   classic mistakes, each swapped into the real net
    catches.py    which checks catch them
    check.py      the gradient of a config, measured
    exercises.py  what each exercise of docs/exercises is to give
    grade.py      a solution, checked
    text.py       arrays, tables and colour on 100 columns

The command line imports them when they are asked for.
"""
