"""Make wan-tiny and wan-tiny-i2v from nothing: `python -m bench.wan_tiny.train --out DIR --work DIR`.

The stages run in order, each seeded and counted in steps; one whose result lies in the work folder is not run
again. Results are reproducible up to the order of floating-point sums (threads, processor, versions).
"""

import argparse
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from bench.wan_tiny import stages


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="where the weights go")
    parser.add_argument("--work", type=Path, required=True, help="where stages keep their results")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(max_workers=2, mp_context=get_context("spawn")) as workers:
        workers.submit(stages.make_base, arguments.work).result()
        running = [workers.submit(make, arguments.work) for make in (stages.make_i2v, stages.make_experts)]
        for stage in running:
            stage.result()
        workers.submit(stages.export_all, arguments.work, arguments.out).result()


if __name__ == "__main__":
    main()
