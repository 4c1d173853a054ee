"""The runner: one attempt at one video. Reads a Task, ends with a Result. Never imports kopf or kubernetes."""
