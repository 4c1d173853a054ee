"""The names that objects on the cluster carry. Chart, operator, runner and guides agree on these."""

from __future__ import annotations

from wan_core.api.spec import GROUP

FIELD_MANAGER = "wan-operator"
CONTAINER = "runner"

# Labels of Jobs and pods. UID is the documented one: kubectl logs -l wan.video/uid=...
UID_LABEL = f"{GROUP}/uid"
NAME_LABEL = f"{GROUP}/name"  # the resource's name, cut to 63 characters
ATTEMPT_LABEL = f"{GROUP}/attempt"
PART_LABELS = {"app.kubernetes.io/managed-by": "wan-operator", "app.kubernetes.io/component": "runner"}

TASK_ANNOTATION = f"{GROUP}/task"  # on the pod template: the Task as JSON, mounted by the downward API

DIGEST_ANNOTATION = f"{GROUP}/task-digest"  # beside it: the digest of the Task, for the operator
PLANS_ANNOTATION = f"{GROUP}/plans"  # and the labels of its rungs, best first, with spaces between
SETTINGS_ANNOTATION = f"{GROUP}/settings"  # on the Job: the digest of the settings by which it was made
JOB_LABEL = "batch.kubernetes.io/job-name"  # what the Job controller puts on pods

# Where things lie in the runner's container.
TASK_FILE = "/etc/wan/task/task.json"
RESULT_FILE = "/dev/termination-log"
TOKEN_FILE = "/var/run/secrets/wan.video/report/token"
S3_FOLDER = "/var/run/secrets/wan.video/s3"  # AWS shared files: `credentials`, and if need be `config`
S3_TOKEN_FILE = "/var/run/secrets/wan.video/s3-token/token"  # for STS, where web identity is used
CA_FILE = "/etc/wan/s3-ca/ca.crt"  # certificates of the authorities that S3 and the proxy are trusted by
CACHE_FOLDER = "/var/cache/wan"
SCRATCH_FOLDER = "/tmp"


def audience_of(uid: str, attempt: int) -> str:
    """The audience of an attempt's report token: it is good for this attempt's progress and nothing else."""
    return f"{GROUP}/{uid}/{attempt}"
