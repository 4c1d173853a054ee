"""A container that finds what an attempt's pod finds, at the paths of cluster/names.py."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.image.engine import HARDENED, Engine
from wan_core.task import Result, Task
from wan_operator.cluster import names


@dataclass(frozen=True)
class Attempt:
    """Options and arguments of the runner's container, and the file that will hold its Result."""

    options: tuple[str, ...]
    arguments: tuple[str, ...]
    result_file: Path

    def command(self, engine: Engine, image: str) -> list[str]:
        return engine.run_command(image, *self.arguments, options=self.options)

    def result(self) -> Result:
        return Result.model_validate_json(self.result_file.read_text())


def prepare(folder: Path, task: Task, endpoint: str) -> Attempt:
    """Lay out the volumes of a pod below `folder`."""
    task_file, secret, message = folder / "task", folder / "s3", folder / "message"
    for volume in (task_file, secret):
        volume.mkdir()
    (task_file / "task.json").write_text(task.model_dump_json(by_alias=True))
    (secret / "credentials").write_text(
        "[default]\naws_access_key_id = key\naws_secret_access_key = secret\n"
    )
    (folder / "token").write_text("not looked at by the test's inbox")
    message.touch()
    message.chmod(0o666)  # as kubelet leaves a termination message's file
    volumes = {
        f"{task_file}": f"{Path(names.TASK_FILE).parent}:ro",
        f"{secret}": f"{names.S3_FOLDER}:ro",
        f"{folder / 'token'}": f"{names.TOKEN_FILE}:ro",
        f"{message}": names.RESULT_FILE,
    }
    environment = {
        "AWS_SHARED_CREDENTIALS_FILE": f"{names.S3_FOLDER}/credentials",
        "AWS_CONFIG_FILE": f"{names.S3_FOLDER}/config",
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": "us-east-1",
    }
    files = (
        "--task",
        names.TASK_FILE,
        "--result",
        names.RESULT_FILE,
        "--report-token-file",
        names.TOKEN_FILE,
    )
    return Attempt(
        options=(
            *HARDENED,
            f"--tmpfs={names.CACHE_FOLDER}:rw,mode=1777",
            *(f"--volume={there}:{here}" for there, here in volumes.items()),
            *(f"--env={name}={value}" for name, value in environment.items()),
        ),
        arguments=("run", *files, "--cache", names.CACHE_FOLDER),
        result_file=message,
    )
