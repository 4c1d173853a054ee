"""The commands about planning: `wan models`, `gpus`, `validate`, `explain`, `recommend`.

Thin over the functions of `wan_core.planning`: here options are read and answers are shown. Nothing is
started, and nothing is written but a file that was asked for. They run without torch and, but for
`--cluster`, `--here` and what looks at images or weights, with the light half alone.
"""
