"""Lists the packages, so that the sample images at the top of the repository are installed inside the package."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["napari_synth*"]), "napari_synth.sample_data"],
    package_dir={"napari_synth.sample_data": "sample_data"},
)
