"""For students of backprop. What each file holds:

subject    the net and the row that are studied
step       every number of one step, recorded while the core runs it
page       the step's softmax as a page that moves with the reader's hand
check      the gradient of a config, measured
mistakes   classic mistakes, each a change of one line of the core
catches    which checks catch them
exercises  what the functions of docs/exercises must return
grade      a solution, checked
runner     the process in which a solution runs
text       arrays, tables and colour on 100 columns
"""
