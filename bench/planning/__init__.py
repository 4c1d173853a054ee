"""What the planner says against what is: memory against our own modules, speed against the clock."""
