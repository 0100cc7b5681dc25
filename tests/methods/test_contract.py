"""Every method that is registered keeps the contract that ships as `napari_synth.testing`."""

from __future__ import annotations

from typing import Any

import pytest

from napari_synth import registry
from napari_synth.contract.generator import Method
from napari_synth.testing import Check, contract_checks

DECONVOLVERS = ("network", "richardson-lucy", "gradient-consensus", "total-variation", "wiener")
# Enough training to show that it runs; how well it restores is the benchmark's business.
BRIEF: dict[str, dict[str, Any]] = {
    "denoise/noise2void": {"steps": 2, "patch": 32, "batch": 1},
    "denoise/zero-shot-noise2noise": {"steps": 2, "patch": 32, "batch": 1},
    "denoise/adapted": {"steps": 2},
    **{f"deconvolve/{name}": {"width": 1.2} for name in DECONVOLVERS},
    "super-resolution/adapted": {"steps": 2, "patch": 16, "batch": 1},
    "inpaint/adapted": {"steps": 2, "patch": 32, "batch": 1},
    "translate/patch-style": {"steps": 1, "structure": 7},
    "correct/flat-field": {"fitted": [{"shading": (1.0,), "dark": (0.0,), "level": (0.0,), "baseline": (1.0,)}]},
    "synthesize/patches": {"steps": 2, "size": 32},
}
THOROUGH: dict[str, dict[str, Any]] = {
    "denoise/noise2void": {"steps": 60, "batch": 8},
    "denoise/zero-shot-noise2noise": {"steps": 200, "batch": 8},
}
METHODS = (*registry.listed(Method), *registry.trainables())
CHECKS = [
    pytest.param(check, id=f"{check}-{method.info.id}")
    for method in METHODS
    for check in contract_checks(method, settings=BRIEF.get(method.info.id), thorough=THOROUGH.get(method.info.id))
]


@pytest.mark.parametrize("check", CHECKS)
def test_the_contract(check: Check) -> None:
    check()
