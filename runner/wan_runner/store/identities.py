"""Keys for who a pod is: web identity, which STS answers, and Pod Identity, which an agent on the node does.

Both give keys that end, for a token in a file that is read anew each time, since kubelets renew it. The
first question to STS waits a moment at random, so that 1,000 pods that start at once do not ask in one.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from botocore import UNSIGNED
from botocore import exceptions as boto_errors
from botocore.config import Config
from botocore.credentials import CredentialProvider
from botocore.credentials import ReadOnlyCredentials as Keys
from botocore.session import Session
from botocore.utils import ContainerMetadataFetcher

from wan_core.errors import AccessDenied, InvalidInput, NetworkError, WanError
from wan_runner.store.proxies import choose_proxies
from wan_runner.store.redact import redacted, remember
from wan_runner.store.renewal import KeysWithEnd
from wan_runner.store.silence import of_silence

FIRST_CALL_SPREAD_S = 3.0
STS_ATTEMPTS = 8  # of one question, with botocore's back-off and jitter: throttling of a mass start passes
STS_TIMEOUT_S = 5
SESSION_NAME = "wan-runner"

TOKEN_FILE, ROLE = "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN"
CONTAINER_URIS = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI")
_CONTAINER_TOKEN = "AWS_CONTAINER_AUTHORIZATION_TOKEN"
_TO_REACH_STS = "Check that this machine reaches STS: AWS_REGION, AWS_ENDPOINT_URL_STS, proxies, egress."
_TO_TRUST = f"Check {ROLE}, the role's trust policy, and the audience and the end of the token."
_TO_REACH_AGENT = "Check the agent on this node, and that egress to it is allowed."
_TO_ASSOCIATE = "Check the pod identity association of the runner's service account."


class WebIdentity(CredentialProvider):  # type: ignore[misc]  # botocore has no types
    """A role that STS gives for a token. Configured by AWS_* or by the profile."""

    METHOD = "assume-role-with-web-identity"

    def __init__(self, session: Session, settings: Mapping[str, str], region: str) -> None:
        super().__init__()
        self._session, self._settings, self._region = session, settings, region
        self._pause_s = random.uniform(0, FIRST_CALL_SPREAD_S)

    def load(self) -> KeysWithEnd | None:
        profile = self._session.get_scoped_config()
        file = self._settings.get(TOKEN_FILE) or profile.get("web_identity_token_file")
        if not file:
            return None
        role = self._settings.get(ROLE) or profile.get("role_arn")
        if not role:
            raise InvalidInput(f"{TOKEN_FILE} is set, but {ROLE} is not")
        name = self._settings.get("AWS_ROLE_SESSION_NAME") or profile.get("role_session_name")
        return KeysWithEnd(self.METHOD, lambda: self._assume(Path(file), role, name or SESSION_NAME))

    def _assume(self, file: Path, role: str, name: str) -> tuple[Keys, datetime]:
        pause_s, self._pause_s = self._pause_s, 0.0
        time.sleep(pause_s)
        token = _read_token(file, TOKEN_FILE)
        client = self._client()
        where = f"STS at {client.meta.endpoint_url}, asked for the role {role}"
        try:
            answer = client.assume_role_with_web_identity(
                RoleArn=role, RoleSessionName=name, WebIdentityToken=token
            )["Credentials"]
        except boto_errors.ClientError as error:
            raise _refused(error, where) from error
        except boto_errors.ParamValidationError as error:
            raise InvalidInput(redacted(f"{ROLE}, AWS_ROLE_SESSION_NAME: {error}")) from error
        except boto_errors.BotoCoreError as error:
            silence = of_silence(error, where, client.meta.endpoint_url)
            raise NetworkError(silence.message, advice=f"{silence.advice} {_TO_REACH_STS}") from error
        keys = Keys(answer["AccessKeyId"], answer["SecretAccessKey"], answer.get("SessionToken") or None)
        return keys, answer["Expiration"]

    def _client(self) -> Any:
        """Unsigned. It tries again by itself: nobody above can tell STS's throttling from S3's."""
        endpoint = self._settings.get("AWS_ENDPOINT_URL_STS") or self._settings.get("AWS_ENDPOINT_URL")
        config = Config(
            signature_version=UNSIGNED,
            connect_timeout=STS_TIMEOUT_S,
            read_timeout=STS_TIMEOUT_S,
            retries={"mode": "standard", "total_max_attempts": STS_ATTEMPTS},
            proxies=choose_proxies(endpoint, self._settings),
        )
        return self._session.create_client("sts", self._region, endpoint_url=endpoint, config=config)


def _refused(error: boto_errors.ClientError, where: str) -> WanError:
    said = error.response.get("Error", {})
    code, words = str(said.get("Code", "")), str(said.get("Message", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    message = redacted(f"{where}, did not give it: {code}: {words}")
    if status >= 500 or status == 429 or "Throttl" in code or code == "IDPCommunicationError":
        return NetworkError(message, advice="STS is busy: it is tried again.")
    return AccessDenied(message, advice=_TO_TRUST)


class Container(CredentialProvider):  # type: ignore[misc]
    """Keys that an agent on the node serves to this pod alone: EKS Pod Identity, ECS and the like."""

    METHOD = "container-role"

    def __init__(self, settings: Mapping[str, str]) -> None:
        super().__init__()
        self._settings = settings

    def load(self) -> KeysWithEnd | None:
        relative, full = (self._settings.get(name) for name in CONTAINER_URIS)
        fetcher = ContainerMetadataFetcher()
        uri = fetcher.full_url(relative) if relative else full
        return KeysWithEnd(self.METHOD, lambda: self._fetch(fetcher, uri)) if uri else None

    def _fetch(self, fetcher: ContainerMetadataFetcher, uri: str) -> tuple[Keys, datetime]:
        try:
            answer = fetcher.retrieve_full_uri(uri, headers=self._headers())
        except boto_errors.MetadataRetrievalError as error:
            message = redacted(f"no S3 credentials from the pod's agent at {urlsplit(uri).netloc}: {error}")
            if "non 200" in message:
                raise AccessDenied(message, advice=_TO_ASSOCIATE) from error
            raise NetworkError(message, advice=_TO_REACH_AGENT) from error
        except ValueError as error:
            raise InvalidInput(f"{CONTAINER_URIS[1]}: {error}") from error
        keys = Keys(answer["AccessKeyId"], answer["SecretAccessKey"], answer.get("Token"))
        return keys, datetime.fromisoformat(answer["Expiration"])

    def _headers(self) -> dict[str, str]:
        file = self._settings.get(f"{_CONTAINER_TOKEN}_FILE")
        token = (
            _read_token(Path(file), f"{_CONTAINER_TOKEN}_FILE")
            if file
            else self._settings.get(_CONTAINER_TOKEN)
        )
        remember(token)
        return {"Authorization": token} if token else {}


def _read_token(file: Path, variable: str) -> str:
    advice = "Check the volume that brings the token."
    try:
        token = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise AccessDenied(f"{variable}: {file}: {said}", advice=advice) from None
    remember(token)
    if not token or not token.isprintable() or " " in token:
        raise AccessDenied(f"{variable}: {file} holds no token", advice=advice)
    return token
