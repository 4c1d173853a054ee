"""The console script `wan-operator`: the operator on a cluster, until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from importlib.metadata import version
from pathlib import Path

from wan_core.errors import TABLE, Category, InvalidInput
from wan_operator.cluster.connection import Connection, read_connection
from wan_operator.cluster.logs import configure
from wan_operator.cluster.runtime import operate
from wan_operator.cluster.settings import ClusterSettings, read_settings
from wan_operator.cluster.startup import NotReady
from wan_operator.cluster.stopping import stop_on_signals
from wan_operator.terms import find_unknown_prices

log = logging.getLogger(__name__)


def main(arguments: list[str] | None = None) -> None:
    """Run the operator. Exits 0 when told to stop, 64 for wrong settings, else 1: restart it then."""
    parser = argparse.ArgumentParser(prog="wan-operator", description="The operator of VideoGenerations.")
    parser.add_argument("--settings", type=Path, required=True, help="YAML file, as the chart writes it")
    parser.add_argument("--version", action="version", version=f"wan-operator {version('wan-operator')}")
    chosen = parser.parse_args(arguments)
    configure("INFO")
    try:
        settings = read_settings(chosen.settings)
        configure(settings.log_level)
        for line in find_unknown_prices(settings.planning.prices_per_gpu_hour):
            log.warning("%s", line)
        connection = read_connection(os.environ)
    except InvalidInput as error:
        log.critical("%s", error)  # not its message: strings are cut, and each problem counts
        sys.exit(TABLE[Category.INVALID_INPUT].exit_code)
    sys.exit(asyncio.run(serve(settings, connection)))


async def serve(settings: ClusterSettings, connection: Connection) -> int:
    """Run until a signal; the exit code."""
    stop = asyncio.Event()
    stop_on_signals(stop)
    log.info("wan-operator %s", version("wan-operator"))
    try:
        await operate(settings, connection, stop)
    except NotReady as error:
        log.critical("%s", error)
        return 1
    except (Exception, BaseExceptionGroup):
        log.critical("the operator ends: it will be right again after a restart", exc_info=True)
        return 1
    log.info("stopped")
    return 0


if __name__ == "__main__":
    main()
