"""Hypothesis does not time examples: on a busy machine a slow one says nothing about the code.

The profile `mutants` is for `make mutants`, which runs the same tests hundreds of times: few examples,
the same ones each time, and a failing one is not made smaller.
"""

from hypothesis import Phase, settings

settings.register_profile("untimed", deadline=None)
settings.register_profile(
    "mutants",
    deadline=None,
    derandomize=True,
    max_examples=15,
    phases=[Phase.explicit, Phase.generate],
)
settings.load_profile("untimed")
