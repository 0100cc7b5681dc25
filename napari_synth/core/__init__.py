"""What every part of napari-synth stands on: images, noise, blocks, devices, the generator contract and the runner."""
