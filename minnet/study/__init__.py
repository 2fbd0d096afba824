"""For who studies backprop: one step printed, the gallery of mistakes, gradient checks, graded exercises.

    step.py       every number of one step of the real net
    mistakes.py   classic mistakes, each swapped into the real net, and which checks catch it
    check.py      the gradient of a config, measured
    grade.py      the exercises of docs/exercises, checked
    text.py       arrays, tables and colour on 100 columns
"""
