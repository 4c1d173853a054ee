"""The runner: one attempt at one video. A Task in, a Result out; never imports kopf or kubernetes."""
