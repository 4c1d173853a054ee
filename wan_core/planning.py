"""The questions about planning and the functions that answer them. Pure: no torch, no I/O.

| question | function |
| --- | --- |
| What can this model do, and under what licence? | `capabilities` |
| What runs on this GPU, at what shape, how fast, with which settings? | `profile` |
| On which GPUs does this model run? | `compatibility` |
| What is wrong with this manifest? | `validate` |
| Which model and settings, for this prompt or image, on these GPUs? | `recommend` |
| How would this request run here, why, and what would change that? | `explain` |
| What would be tried next if it failed? | `fallbacks` |

The commands `wan models`, `gpus`, `validate`, `explain` and `recommend` show what these return, and the
operator's `status.ladder` comes from the same engine.
"""

from wan_core.plan.by_hand import HOST_MEMORY_GIB
from wan_core.plan.capabilities import Capabilities, Component, capabilities
from wan_core.plan.criteria import Criteria
from wan_core.plan.explanation import Explanation, explain
from wan_core.plan.fallbacks import Fallback, fallbacks
from wan_core.plan.profile import Setting, compatibility, profile
from wan_core.plan.recommend import Advice, Confidence, Recommendation, recommend
from wan_core.plan.validation import CheckedManifest, Problem, Validation, problem_of_line, validate

__all__ = [
    "HOST_MEMORY_GIB",
    "Advice",
    "Capabilities",
    "CheckedManifest",
    "Component",
    "Confidence",
    "Criteria",
    "Explanation",
    "Fallback",
    "Problem",
    "Recommendation",
    "Setting",
    "Validation",
    "capabilities",
    "compatibility",
    "explain",
    "fallbacks",
    "problem_of_line",
    "profile",
    "recommend",
    "validate",
]
