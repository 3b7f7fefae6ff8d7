"""A server process with a fake shard, for tests that send signals: `python -m tests.serving.one_process WHAT`.

`slow` recovers when a line comes on stdin, `broken` cannot be opened, `plain` is ready at once.
"""

from __future__ import annotations

import sys

from rtp_monolith.clock import Clock, WallClock
from rtp_monolith.config import Config
from rtp_monolith.errors import from_native
from rtp_monolith.metrics import Metrics
from rtp_monolith.serving import process
from rtp_monolith.serving.ports import Shard
from tests.serving.fakes import FakeLists, FakeModels, FakeState


def main(what: str) -> int:
    state = FakeState()

    def open_shard(config: Config, clock: Clock, metrics: Metrics) -> Shard:
        if what == "slow":
            sys.stdin.readline()
        if what == "broken":
            raise from_native("log_corrupt", None, "at offset 17: checksum")
        return Shard(state, FakeLists(), FakeModels())

    bound = process.listen("127.0.0.1", 0, Config())
    print(bound.getsockname()[1], flush=True)
    code = process.serve(Config(), WallClock(), open_shard, bound)
    print(f"attached={state.attached} closed={state.closed}", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
