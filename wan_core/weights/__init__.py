"""Names and shapes of stored weights, in every scheme that Wan's weights are published in, read both ways.

One table for each kind of model serves loading, saving and converting. Only safetensors are opened; a pickle
is refused by name, and no code of a checkpoint runs. Modules are built without memory; what fills them is
read once, through a few fixed slots. Not covered: quantised checkpoints, GGUF, LoRA, the CLIP branch of Wan
2.1's image-to-video.
"""
