"""The diffusion transformer of Wan 2.1 and 2.2 in pure PyTorch: torch and `wan_core.kernels`, nothing else.

The graph is static: shapes and variants are fixed when a model is built, `forward` has no branch. Not
covered: CLIP images of Wan 2.1, audio of S2V, faces of Animate (their place is marked in `transformer`).
"""
