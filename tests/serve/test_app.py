from __future__ import annotations

import asyncio

import msgspec
import pytest

# what Ray's own modules say to themselves when they are imported
pytestmark = pytest.mark.filterwarnings("ignore:Using extra keyword arguments on `Field`")


def test_a_replica_says_that_it_is_well_and_holds_no_model() -> None:
    from serve.app import Models

    assert asyncio.run(Models()(object())) == {"status": "ok", "models": []}


def test_the_application_is_one_deployment_of_that_name() -> None:
    from serve.app import build

    assert build({})._bound_deployment.name == "Models"


def test_arguments_that_nobody_reads_are_refused() -> None:
    from serve.app import build

    with pytest.raises(msgspec.ValidationError, match="modles"):
        build({"modles": ["lstm"]})
