"""Functions of policy veridian, called by themselves and held against its model.

A call is followed like a log: what it logs is replayed, so the model goes where the guest went, and
then all of the guest's memory has to be what the model has.
"""
