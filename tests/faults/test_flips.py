"""One flipped bit in any file of any store: see `flips`. `make faults` plays 25,000 of them."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from tests.faults.flipped_box import FaceStore, LedgerStore, OrderStore, ReplicaStore
from tests.faults.flipped_platform import RecordsStore, SourceStore
from tests.faults.flips import Store, make_images, play
from tests.faults.scale import ROUNDS
from tests.leftovers import quick_folder

_FLIPS = {"ledger": 90, "replica": 40, "orders": 30, "faces": 30, "records": 30, "source": 30}  # x 100 in `make faults`
_STORES: dict[str, Store] = {
    "ledger": LedgerStore(),
    "replica": ReplicaStore(),
    "orders": OrderStore(),
    "faces": FaceStore(),
    "records": RecordsStore(),
    "source": SourceStore(),
}


@pytest.mark.parametrize("kind", _STORES)
async def test_a_store_with_a_flipped_bit_starts_reports_and_delivers_the_rest(
    kind: str, pytestconfig: pytest.Config
) -> None:
    store = _STORES[kind]
    with quick_folder() as name:
        folder = Path(name)
        images = await make_images(store, folder)
        for image in images:
            whole = shutil.copytree(image.folder, folder / f"{image.folder.name}-whole")
            await store.check(whole / store.name, image.truth)
            assert not list(whole.glob("*.damaged-*"))
        tally = await play(
            store, images, folder, random.Random(str(pytestconfig.option.hypothesis_seed)), _FLIPS[kind] * ROUNDS
        )
    print(*tally.failures, sep="\n")  # noqa: T201
    print(f"{kind}: {tally.flips} flips, {tally.set_aside} files set aside, {len(tally.failures)} failures")  # noqa: T201
    assert tally.failures == []
    assert tally.set_aside > tally.flips / 20
