"""The contract of methods as checks that any package can run on its own method, with one line: ``check_method(BOX)``."""

from napari_synth.testing.contract import Check, check_method, contract_checks

__all__ = ["Check", "check_method", "contract_checks"]
