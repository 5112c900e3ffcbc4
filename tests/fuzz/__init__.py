"""What comes from outside, damaged in all ways: nothing of it ends in a traceback.

    python -m tests.fuzz [--inputs N] [--seed WORD] [--only TARGET] [--case SEED/TARGET/NUMBER]

mutation.py damages an input, targets/ names what is fed with it, runner.py judges the outcome.
"""
