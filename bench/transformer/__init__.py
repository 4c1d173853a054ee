"""How fast the transformer is: ours, and diffusers' as it comes and at its best, on one device in one run.

Random weights at true sizes, made on the device; a step is two forwards, one a prompt, as guidance asks for.
Schedulers, text encoder and VAE are not measured. Imported are torch, Triton, wan_core, and of the rest only
diffusers with what its transformer needs. What a run found is one JSON document; tables are read off it.
"""
