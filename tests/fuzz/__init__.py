"""Every decoder of bytes that come from outside, under millions of inputs: `make fuzz`.

targets      what is tried, and what must hold for any bytes at all
seeds        right inputs to begin with, made by the real encoders
corpus       inputs that reach all that was ever reached, and every one that ever failed; a file for each target
__main__     runs libFuzzer (atheris), one process a target, and keeps what reached something new
one          such a process
test_fuzz    the corpus, and changes to it, without libFuzzer: part of `make test`
"""
